/** Phones that are told of together: what is written is what their reports say in their order, with a few statements for all. */
import { createEventLog } from '../../../../src/domains/events/events';
import { readEvents } from '../../../../src/domains/events/events.store';
import type { NodeRow } from '../../../../src/domains/nodes/nodes.store';
import { createLateProofs } from '../../../../src/domains/registrations/events/late-proofs';
import {
  handleRegistrationEvents,
  type PhoneEvent,
} from '../../../../src/domains/registrations/events/registration-events';
import type { RegistrationDeps } from '../../../../src/domains/registrations/registrations';
import type { RegisteredEvent, UnregisteredEvent } from '../../../../src/freeswitch/esl';
import { createId } from '../../../../src/infra/ids';
import { createLogger } from '../../../../src/infra/logger';
import { useStores } from '../../../stores';

const stores = useStores();
const DOMAIN = 'clinic.test';
const PEOPLE = 200;
const logger = createLogger('silent');
const node = { id: createId(), name: 'one' } as NodeRow;
const domainId = createId();
const names = Array.from({ length: PEOPLE }, (_, i) => `user-${i}`);
let deps: RegistrationDeps;
let late: string[];
let refused: string[];
/** What a late proof waits for. */
let proof: Promise<void>;

beforeAll(async () => {
  await stores.db('domains').insert({ id: domainId, name: DOMAIN });
  const ha1 = 'x';
  await stores.db('users').insert(names.map((username) => ({ id: createId(), domain_id: domainId, username, ha1 })));
  const ports = { esl_port: 1, sip_port: 3, internode_port: 5, ws_port: 7 };
  const secrets = { secret_hash: 'x', esl_password_sealed: 'x' };
  await stores.db('nodes').insert({ ...node, host: '127.0.0.1', ...secrets, state: 'serving', ...ports });
});

beforeEach(async () => {
  await stores.db('registrations').delete();
  await stores.db('events').delete();
  [late, refused] = [[], []];
  proof = Promise.resolve();
  let patience = 3;
  deps = {
    db: stores.db,
    log: createEventLog(stores.db, { ring: () => undefined }, logger),
    logger,
    quotas: { limitOf: () => Promise.resolve(5), refuse: () => undefined },
    flush: () => undefined,
    shownLogins: {
      isShown: (_nodeId, username) => Promise.resolve(!late.includes(username)),
      wasShown: () => proof.then(() => (patience -= 1) > 0),
      shownAtMs: () => Promise.resolve(undefined),
    },
    lateProofs: createLateProofs({ logger, sleep: () => Promise.resolve() }),
    askProfile: () => Promise.resolve([]),
    doubts: { add: () => undefined, stop: () => undefined },
    refuseReport: (_node, about) => void refused.push(about),
  };
});

const registered = (username: string, o: Partial<RegisteredEvent> = {}): PhoneEvent => ({
  node,
  event: {
    ...{ type: 'registered', username, domain: DOMAIN, contact: `sip:${username}@192.0.2.1:5060` },
    ...{ sipCallId: `of ${username}`, expiresSeconds: 300, networkIp: '192.0.2.1', networkPort: 5060 },
    ...{ userAgent: '', profile: 'internal', status: '', transport: 'udp', atMs: 0, ...o },
  } as RegisteredEvent,
});
const unregistered = (username: string): PhoneEvent => ({
  node,
  event: {
    ...{ type: 'unregistered', username, domain: DOMAIN, contact: `sip:${username}@192.0.2.1:5060` },
    ...{ sipCallId: `of ${username}`, reason: 'unregister', atMs: 0 },
  } as UnregisteredEvent,
});
const kept = (): Promise<string[]> => stores.db('registrations').orderBy('sip_call_id').pluck('sip_call_id');
const told = async (): Promise<string[]> => {
  const events = await readEvents(stores.db, domainId, 0, 10_000);
  return events.map(({ type, data }) => `${type} ${String(data.contact).slice('sip:'.length).split('@')[0]}`);
};

async function countStatements(work: () => Promise<void>): Promise<number> {
  let count = 0;
  const note = (): void => void (count += 1);
  stores.db.on('query', note);
  await work().finally(() => stores.db.off('query', note));
  return count;
}

test('two hundred phones that come together are a dozen statements, and one for their time when they come again', async () => {
  const all = names.map((name) => registered(name));
  expect(await countStatements(() => handleRegistrationEvents(deps, all))).toBeLessThanOrEqual(12);
  expect(await kept()).toHaveLength(PEOPLE);
  expect(await told()).toEqual(names.map((name) => `registration.created ${name}`));
  await stores.db('registrations').update({ expires_at: new Date(0), refreshed_at: new Date(0) });
  expect(await countStatements(() => handleRegistrationEvents(deps, all))).toBe(1);
  const late = await stores.db('registrations').where('expires_at', '<', new Date()).count('* as count').first();
  expect(late).toEqual({ count: '0' });
  expect(await told()).toHaveLength(PEOPLE);
});

test('a phone that goes and comes in one batch is there, and one that comes and goes is not', async () => {
  await handleRegistrationEvents(deps, [registered('user-1')]);
  await handleRegistrationEvents(deps, [
    ...[unregistered('user-1'), registered('user-2'), registered('user-3')],
    ...[registered('user-1'), unregistered('user-2')],
  ]);
  expect(await kept()).toEqual(['of user-1', 'of user-3']);
});

test('one whose password is not known yet keeps nobody waiting, and what comes behind it stays behind it', async () => {
  late = ['user-1'];
  let prove!: () => void;
  proof = new Promise((done) => (prove = done));
  await handleRegistrationEvents(deps, [registered('user-1'), unregistered('user-1'), registered('user-2')]);
  expect(await kept()).toEqual(['of user-2']);
  await handleRegistrationEvents(deps, [registered('user-1', { sipCallId: 'again' })]);
  prove();
  await deps.lateProofs.settled();
  expect(await kept()).toEqual(['again', 'of user-2']);
  expect(await told()).toEqual([
    'registration.created user-2',
    ...['registration.created user-1', 'registration.ended user-1', 'registration.created user-1'],
  ]);
  expect(refused).toEqual([]);
});

test('one that is proved nowhere is refused, and the others of its batch are kept', async () => {
  late = ['user-1', 'user-2', 'user-3'];
  await handleRegistrationEvents(
    deps,
    names.slice(0, 5).map((name) => registered(name)),
  );
  await deps.lateProofs.settled();
  expect(refused).toEqual(['registration']);
  expect(await kept()).toHaveLength(4);
});

test('one that can not be written is left out by itself', async () => {
  const odd = registered('user-3', { contact: 'sip:user-3@192.0.2.1\u0000' });
  await handleRegistrationEvents(deps, [
    ...names.slice(0, 3).map((name) => registered(name)),
    odd,
    registered('user-4'),
  ]);
  expect(await kept()).toEqual(['of user-0', 'of user-1', 'of user-2', 'of user-4']);
});

test('a disabled user is not refreshed either', async () => {
  await handleRegistrationEvents(deps, [registered('user-1')]);
  await stores.db('registrations').update({ refreshed_at: new Date(0) });
  await stores.db('users').where({ username: 'user-1' }).update({ enabled: false });
  await handleRegistrationEvents(deps, [registered('user-1')]);
  expect(await stores.db('registrations').pluck('refreshed_at')).toEqual([new Date(0)]);
  await stores.db('users').update({ enabled: true });
});
