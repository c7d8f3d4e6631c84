/** Phones of a node as they are told by it: a hostile phone, or a node that was broken into, ends nobody else's and keeps no node out. */
import { reconcileRegistrations } from '../../../src/domains/registrations/reconcile-node';
import { createEventLog } from '../../../src/domains/events/events';
import type { NodeRow } from '../../../src/domains/nodes/nodes.store';
import { createLateProofs } from '../../../src/domains/registrations/events/late-proofs';
import { handleRegistrationEvents } from '../../../src/domains/registrations/events/registration-events';
import type { RegistrationDeps } from '../../../src/domains/registrations/registrations';
import { createShownLogins } from '../../../src/domains/users/shown-logins';
import type { NodeConnection, ProfileRegistration, RegisteredEvent } from '../../../src/freeswitch/esl';
import { createId } from '../../../src/infra/ids';
import { createLogger } from '../../../src/infra/logger';
import { useStores } from '../../stores';

const stores = useStores();
const DOMAIN = 'clinic.test';
const logger = createLogger('silent');
const [one, two] = ['one', 'two'].map((name) => ({ id: createId(), name }) as NodeRow) as [NodeRow, NodeRow];
let limit: number;
let flushed: string[];
let refused: string[];
let shown: Set<string>;
let listed: ProfileRegistration[];
let doubts: (() => Promise<void>)[];
let deps: RegistrationDeps;

beforeAll(async () => {
  const domainId = createId();
  await stores.db('domains').insert([
    { id: domainId, name: DOMAIN },
    { id: createId(), name: 'other.test' },
  ]);
  const user = (username: string) => ({ id: createId(), domain_id: domainId, username, ha1: 'x' });
  await stores.db('users').insert([user('ann'), user('bob')]);
  for (const [i, { id, name }] of [one, two].entries()) {
    const ports = { esl_port: 1 + i, sip_port: 3 + i, internode_port: 5 + i, ws_port: 7 + i };
    await stores
      .db('nodes')
      .insert({ id, name, host: '127.0.0.1', secret_hash: 'x', esl_password_sealed: 'x', state: 'serving', ...ports });
  }
});

beforeEach(async () => {
  await stores.db('registrations').delete();
  [limit, flushed, refused, shown, listed, doubts] = [5, [], [], new Set(['ann', 'bob']), [], []];
  deps = {
    db: stores.db,
    log: createEventLog(stores.db, { ring: () => undefined }, logger),
    logger,
    quotas: { limitOf: () => Promise.resolve(limit), refuse: () => undefined },
    flush: (_nodeId, command) => void flushed.push(command.line),
    shownLogins: {
      isShown: (nodeId, username) => Promise.resolve(nodeId === one.id && shown.has(username)),
      wasShown: (nodeId, username) => Promise.resolve(nodeId === one.id && shown.has(username)),
      shownAtMs: () => Promise.resolve(undefined),
    },
    lateProofs: createLateProofs({ logger, sleep: () => Promise.resolve() }),
    askProfile: () => Promise.resolve(listed),
    doubts: { add: (_id, run) => void doubts.push(run), stop: () => undefined },
    refuseReport: (_node, about) => void refused.push(about),
  };
});

const event = (username: string, sipCallId: string, o: Partial<RegisteredEvent> = {}): RegisteredEvent => ({
  type: 'registered',
  username,
  domain: DOMAIN,
  contact: `sip:${username}@192.0.2.1:${5060 + sipCallId.length}`,
  sipCallId,
  expiresSeconds: 300,
  networkIp: '192.0.2.1',
  networkPort: 5060,
  userAgent: 'a phone',
  profile: 'internal',
  status: 'Registered(UDP)',
  transport: 'udp',
  atMs: Date.now(),
  ...o,
});
async function handleRegistered(from: RegistrationDeps, node: NodeRow, told: RegisteredEvent): Promise<void> {
  await handleRegistrationEvents(from, [{ node, event: told }]);
  await from.lateProofs.settled();
}
const kept = async (): Promise<string[]> =>
  ((await stores.db('registrations').select('sip_call_id').orderBy('sip_call_id')) as { sip_call_id: string }[]).map(
    (row) => row.sip_call_id,
  );

test('a phone that was started anew has the same contact and another Call-ID: it is one', async () => {
  await handleRegistered(deps, one, event('ann', 'first', { contact: 'sip:ann@192.0.2.1:5060' }));
  await handleRegistered(deps, one, event('ann', 'second', { contact: 'sip:ann@192.0.2.1:5060' }));
  await handleRegistered(deps, one, event('bob', 'third', { contact: 'sip:ann@192.0.2.1:5060' }));
  expect(await kept()).toEqual(['second', 'third']);
});

test.each([[`bob@${DOMAIN}`], [DOMAIN], ['OTHER.test'], ['x@other.test']])(
  'the Call-ID %s is never a command: by it a node would end the phones of others',
  async (sipCallId) => {
    limit = 1;
    await handleRegistered(deps, one, event('ann', sipCallId));
    await handleRegistered(deps, one, event('ann', 'a', { contact: 'sip:ann@192.0.2.2' }));
    expect(await kept()).toEqual(['a']);
    expect(flushed).toEqual([]);
    await handleRegistered(deps, one, event('ann', 'b@192.0.2.9', { contact: 'sip:ann@192.0.2.3' }));
    expect(flushed).toEqual(['sofia profile internal flush_inbound_reg a']);
  },
);

test('two pages of one user that both name the host which sipML5 always names are two, and both are rung', async () => {
  const page = (port: number) => ({
    contact: `sip:ann@df7jal23ls0d.invalid;rtcweb-breaker=no;transport=ws;fs_path=sip%3Aann%40192.0.2.1%3A${port}`,
    ...{ networkPort: port, transport: 'ws' },
  });
  await handleRegistered(deps, one, event('ann', 'desk', page(4001)));
  await handleRegistered(deps, one, event('ann', 'laptop', page(4002)));
  expect(await kept()).toEqual(['desk', 'laptop']);
  expect(flushed).toEqual([]);
});

test("the Call-ID of another's phone is never a command: the node would end that one too, of whatever tenant", async () => {
  limit = 1;
  await handleRegistered(deps, one, event('bob', 'shared'));
  await handleRegistered(deps, one, event('ann', 'shared'));
  await handleRegistered(deps, one, event('ann', 'anew', { contact: 'sip:ann@192.0.2.2' }));
  expect(await kept()).toEqual(['anew', 'shared']);
  expect(flushed).toEqual([]);
});

test('of two phones with one contact, as behind one proxy, the node lists one: the other stays where its profile has it', async () => {
  const contact = 'sip:1001@192.0.2.7:5060';
  await handleRegistered(deps, one, event('ann', 'hers', { contact }));
  await handleRegistered(deps, one, event('bob', 'his', { contact }));
  const his = { reg_user: 'bob', realm: DOMAIN, token: 'his', url: `sofia/internal/${contact}`, hostname: 'one' };
  const where = { network_ip: '192.0.2.1', network_port: '5060', network_proto: 'udp', metadata: '' };
  const rows = [{ ...his, ...where, expires: String(Math.floor(Date.now() / 1000) + 300) }];
  const text = JSON.stringify({ row_count: 1, rows });
  const connection = {
    api: () => Promise.resolve({ ok: true, text }),
    readDeadline: (ms: number) => ms,
  } as unknown as NodeConnection;
  listed = [{ sipCallId: 'hers', networkIp: '192.0.2.1', networkPort: 5060 } as ProfileRegistration];
  await reconcileRegistrations(deps, one, connection, 1000);
  expect(await kept()).toEqual(['hers', 'his']);
  listed = [];
  await reconcileRegistrations(deps, one, connection, 1000);
  expect(await kept()).toEqual(['his']);
});

test('a node is believed only of logins that were proved at it', async () => {
  shown.delete('bob');
  await handleRegistered(deps, one, event('bob', 'forged'));
  await handleRegistered(deps, two, event('ann', 'elsewhere'));
  await handleRegistered(deps, one, event('ann', 'good'));
  expect(await kept()).toEqual(['good']);
  expect(refused).toEqual(['registration', 'registration']);
});

test.each<[string, Partial<RegisteredEvent>]>([
  ['a Call-ID too long for an index', { sipCallId: 'x'.repeat(6000) }],
  ['a profile that is none of ours', { profile: 'bad profile' }],
  ['a contact without end', { contact: `sip:${'x'.repeat(5000)}` }],
])('%s is not kept', async (_name, odd) => {
  await handleRegistered(deps, one, event('ann', 'odd', odd));
  expect(await kept()).toEqual([]);
});

test('of what a node lists the odd and the broken are left out, and all others are known', async () => {
  const row = (user: string, token: string, profile = 'internal') => ({
    ...{ reg_user: user, realm: DOMAIN, token, url: `sofia/${profile}/sip:${user}@192.0.2.1:${token.length}` },
    ...{ expires: String(Math.floor(Date.now() / 1000) + 300), network_ip: '192.0.2.1', network_port: '5060' },
    ...{ network_proto: 'udp', hostname: 'one', metadata: '' },
  });
  const rows = [
    row('ann', 'x'.repeat(6000)),
    row('ann', 'broken'),
    row('bob', 'odd', 'bad profile'),
    row('bob', 'good'),
  ];
  const log: RegistrationDeps['log'] = {
    ...deps.log,
    record: (change) =>
      deps.log.record(async (trx, emit) => {
        const answer = await change(trx, emit);
        if (await trx('registrations').where({ sip_call_id: 'broken' }).first('id')) throw new Error('a fault of ours');
        return answer;
      }),
  };
  const text = JSON.stringify({ row_count: rows.length, rows });
  const connection = { api: () => Promise.resolve({ ok: true, text }) } as unknown as NodeConnection;
  await reconcileRegistrations({ ...deps, log }, one, connection, 1000);
  expect(await kept()).toEqual(['good']);
});

test('who was shown where is known to every replica, and to nobody else; with Redis away phones call on', async () => {
  const keys = new Set<string>();
  const redis = {
    set: (key: string) => Promise.resolve(void keys.add(key)).then(() => 'OK' as const),
    exists: (key: string) => Promise.resolve(keys.has(key) ? 1 : 0),
  };
  const replica = (over: object = {}) =>
    createShownLogins({
      redis: { ...redis, ...over } as unknown as Parameters<typeof createShownLogins>[0]['redis'],
      prefix: 'p',
      now: () => 0,
      sleep: () => Promise.resolve(),
    });
  replica().note('n1', 'ann', 'Clinic.test');
  expect(await replica().wasShown('n1', 'ann', DOMAIN)).toBe(true);
  expect(await replica().wasShown('n2', 'ann', DOMAIN)).toBe(false);
  expect(await replica().wasShown('n1', 'bob', DOMAIN)).toBe(false);
  const away = replica({
    exists: () => Promise.reject(new Error('away')),
    set: () => Promise.reject(new Error('away')),
  });
  away.note('n1', 'cy', DOMAIN);
  expect(await away.wasShown('n1', 'dan', DOMAIN)).toBe(true);
});
