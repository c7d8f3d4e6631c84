import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { launchRealNode, type RealNode } from '../../scripts/nodes/launch-node';
import { headerOf } from '../../scripts/sip-phone/message';
import { openConnection, parseChannels, type NodeConnection } from '../../src/freeswitch/esl';
import {
  bridgeToUserPlan,
  dialStringTo,
  echoPlan,
  internodeDeliveryPlan,
  refusePlan,
  userXml,
  type DialplanRequest,
  type XmlRequest,
} from '../../src/freeswitch/xml';
import { createLogger } from '../../src/infra/logger';
import { describeWithRealNode } from '../real-node';
import { openPhone, type Phone } from '../../scripts/sip-phone/phone';
import { startXmlServer, type XmlServer } from './xml-server';

const DOMAIN = 'clinic.test';
const PASSWORD = 'correct horse';

describeWithRealNode('a real node on our documents alone', (binary) => {
  const dir = mkdtempSync(join(tmpdir(), 'node-'));
  let server: XmlServer;
  let node: RealNode;
  let esl: NodeConnection;
  let ada: Phone;
  let bob: Phone;
  let callerName = 'Ada';
  let ringTimeoutSeconds = 5;

  beforeAll(async () => {
    server = await startXmlServer('n1');
    server.answer = answer;
    const env = { SWITCHYARD_HEARTBEAT_SECONDS: '1', SWITCHYARD_RTP_FROM: '26000', SWITCHYARD_RTP_TO: '26200' };
    node = await launchRealNode({ binary, dir, name: 'n1', xmlUrl: server.xmlUrl, password: 'token.secret', env });
    const { eslPort, eslPassword, sipPort } = server.settings;
    esl = await eventually(() =>
      openConnection({
        host: '127.0.0.1',
        port: eslPort,
        password: eslPassword,
        connectTimeoutMs: 1000,
        logger: createLogger('silent'),
      }),
    );
    ada = await openPhone({ username: '1001', domain: DOMAIN, nodePort: sipPort });
    bob = await openPhone({ username: '1002', domain: DOMAIN, nodePort: sipPort, behaviour: { busy: true } });
  }, 40_000);

  afterAll(async () => {
    esl?.close();
    ada?.close();
    bob?.close();
    await node?.stop();
    await server?.close();
    rmSync(dir, { recursive: true, force: true });
  }, 20_000);

  function answer(request: XmlRequest): string | undefined {
    if (request.kind === 'user') {
      if (request.domain !== DOMAIN || !['1001', '1002'].includes(request.username)) return undefined;
      const ha1 = createHash('md5').update(`${request.username}:${DOMAIN}:${PASSWORD}`).digest('hex');
      const { username } = request;
      const dialString = request.purpose === 'user_call' ? toBob() : undefined;
      return userXml({
        domain: DOMAIN,
        username,
        ha1,
        displayName: callerName,
        callerNumber: username,
        dialString,
      });
    }
    if (request.kind !== 'dialplan') return undefined;
    if (request.context === 'internode')
      return internodeDeliveryPlan({ callId: request.callId!, dialString: toBob(), ringTimeoutSeconds });
    if (request.destination === '9196') return echoPlan({ callId: 'echo-1', legRole: 'from' });
    if (request.destination !== '1002') return refusePlan({ sipStatus: 404, reason: `no ${request.destination}` });
    return bridgeToUserPlan({
      callId: 'call-1',
      legRole: 'from',
      username: '1002',
      domain: DOMAIN,
      callerName,
      callerNumber: request.username ?? '',
      ringTimeoutSeconds,
    });
  }

  const toBob = (): string =>
    dialStringTo({
      username: '1002',
      domain: DOMAIN,
      thisNode: 'n1',
      contacts: [
        {
          node: 'n1',
          host: '127.0.0.1',
          internodePort: 0,
          contact: `<sip:1002@127.0.0.1:${bob.port}>`,
          profile: 'internal',
          source: { networkIp: '127.0.0.1', networkPort: bob.port, transport: 'udp' },
        },
      ],
      token: () => 'token',
      callId: 'call-1',
      createId: () => 'unused',
    });
  const api = async (line: string): Promise<string> => (await esl.api({ line }, { timeoutMs: 5000 })).text;
  const dialplans = (): DialplanRequest[] =>
    server.asked.flatMap(({ request }) => (request.kind === 'dialplan' ? [request] : []));

  test('loads every module and opens both SIP doors, WebSocket too, without a complaint', async () => {
    const status = await eventually(async () => {
      const text = await api('sofia status');
      if (text.match(/RUNNING/g)?.length !== 2) throw new Error(text);
      return text;
    });
    expect(status).toContain(`sip:mod_sofia@127.0.0.1:${server.settings.sipPort}`);
    expect(status).toContain(`sip:mod_sofia@127.0.0.1:${server.settings.internodePort}`);
    await canConnect(server.settings.wsPort);
    for (const name of modulesOnDisk()) expect([name, await api(`module_exists ${name}`)]).toEqual([name, 'true']);
    expect(complaints(node.logFile)).toEqual([]);
    expect([...server.credentials]).toEqual(['n1:token.secret']);
    expect(new Set(server.asked.map(({ request }) => request.nodeName))).toEqual(new Set(['n1']));
  }, 20_000);

  test('registers by the digest hash alone, and refuses a wrong password', async () => {
    expect(await ada.register({ password: 'wrong' })).toBe(403);
    expect(await ada.register({ password: PASSWORD })).toBe(200);
    expect(await api('sofia status profile internal reg')).toContain('1001@clinic.test');
  });

  test('refuses who does not know the password, and what is not in the plan with 404', async () => {
    expect((await ada.dial('9196', { password: 'wrong' })).status).toBe(403);
    expect((await ada.dial('555', { password: PASSWORD })).status).toBe(404);
    expect(dialplans().at(-1)).toMatchObject({
      context: 'users',
      username: '1001',
      domain: DOMAIN,
      destination: '555',
    });
  });

  test('echoes', async () => {
    const call = await ada.dial('9196', { password: PASSWORD });
    expect(call.status).toBe(200);
    await eventually(async () => {
      const codes = parseChannels(await api('show channels as json')).map((row) => row.callId);
      if (!codes.includes('echo-1')) throw new Error('the listing comes a moment later');
    });
    expect(await call.hangup()).toBe(200);
  });

  test('connects two users: the dial string is asked for, both legs know their call, records tell it', async () => {
    bob.behaviour = { answerAfterMs: 0 };
    const call = await ada.dial('1002', { password: PASSWORD });
    expect(call.status).toBe(200);
    await eventually(async () => {
      const other = await api(`uuid_getvar ${dialplans().at(-1)!.legId} bridge_uuid`);
      if (other === '_undef_') throw new Error('not bridged yet');
    });
    const asked = server.asked.map(({ request }) => request);
    expect(asked).toContainEqual(
      expect.objectContaining({ kind: 'user', purpose: 'user_call', username: '1002', callId: 'call-1' }),
    );
    expect(await call.hangup()).toBe(200);
    const legs = await eventually(async () => {
      const roles = server.records.map((r) => variables(r)).filter((v) => v.switchyard_call_id === 'call-1');
      if (roles.length < 2) throw new Error('the records are not here yet');
      return roles;
    });
    expect(legs.map((v) => v.switchyard_leg).sort()).toEqual(['from', 'to']);
    expect(legs.map((v) => v.hangup_cause)).toEqual(['NORMAL_CLEARING', 'NORMAL_CLEARING']);
    expect(bob.byes.length).toBe(1);
    expect(server.credentials).toContain('n1:cdr-secret');
  }, 20_000);

  test('ends the caller with the cause of the other leg', async () => {
    bob.behaviour = { busy: true };
    expect((await ada.dial('1002', { password: PASSWORD })).status).toBe(486);
    bob.behaviour = { ringOnly: true };
    ringTimeoutSeconds = 1;
    expect((await ada.dial('1002', { password: PASSWORD })).status).toBe(480);
    ringTimeoutSeconds = 5;
  }, 15_000);

  test('runs nothing that a caller is called', async () => {
    bob.behaviour = { busy: true };
    const touched = join(node.dir, 'temp', `touched-${randomBytes(4).toString('hex')}`);
    const wide = touched.replaceAll('/', '／');
    const names: [string, string][] = [
      [`\${system(touch ${touched})}`, `＄{system(touch ${wide})}`],
      [`&#36;{system(touch ${touched})}`, `&#36;{system(touch ${wide})}`],
      [`\\\${system(touch ${touched})}`, `＼＄{system(touch ${wide})}`],
      ['$${base_dir}', '＄＄{base_dir}'],
      ['"><x/>', '”><x／>'],
      ['X-PRE-PROCESS', 'X-PRE-PROCESS'],
      ['Jos%E9 👩‍🚀 100%', 'Jos％E9 👩‍🚀 100%'],
      ['one\r\nX-Evil: 1', 'one X-Evil： 1'],
      ['a@b, {c=d}[e=f]|^^:g', 'a＠b, {c=d}[e=f]|^^：g'],
      ["it's 'quoted'", "it's 'quoted'"],
    ];
    const arrived: [string, string | undefined][] = [];
    for (const [name] of names) {
      callerName = name;
      bob.invites.length = 0;
      expect((await ada.dial('1002', { password: PASSWORD })).status).toBe(486);
      const invite = bob.invites[0]!;
      expect(headerOf(invite, 'x-evil')).toBeUndefined();
      arrived.push([name, /^"(.*)" </.exec(headerOf(invite, 'from') ?? '')?.[1]]);
    }
    callerName = 'Ada';
    expect(arrived).toEqual(names);
    expect(existsSync(touched)).toBe(false);
  }, 30_000);

  test("takes a call from another node: the dialplan question carries that node's token", async () => {
    bob.behaviour = { busy: true };
    bob.invites.length = 0;
    const headers = ['X-Switchyard-Token: a.b-c_d', 'X-Switchyard-Call: call-9', 'X-Switchyard-Leg: from'];
    const call = await ada.dial('1002', { nodePort: server.settings.internodePort, headers });
    expect(call.status).toBe(486);
    expect(dialplans().at(-1)).toMatchObject({
      context: 'internode',
      profile: 'internode',
      destination: '1002',
      token: 'a.b-c_d',
      callId: 'call-9',
      deliveredLeg: 'from',
      username: undefined,
    });
    expect(bob.invites.map((invite) => headerOf(invite, 'x-switchyard-token'))).toEqual([undefined]);
  });

  test('runs a room with our profile and every layout by name', async () => {
    await api('originate null/visitor &conference(daily@default)');
    const members = await eventually(async () => {
      const text = await api('conference daily json_list');
      if (!text.startsWith('[')) throw new Error(text);
      return text;
    });
    expect(members).toContain('"conference_name":');
    for (const layout of ['2x2', '8x8', '1up_top_left+7', 'presenter-overlap-small-bot-right', 'group:grid'])
      expect(await api(`conference daily vid-layout ${layout}`)).toContain('Change');
    await api('conference daily hup all');
  });

  test('has nothing on disk to fall back on', async () => {
    const stranger = await openPhone({
      username: '1000',
      domain: 'elsewhere.test',
      nodePort: server.settings.sipPort,
    });
    expect(await stranger.register({ password: '1234' })).toBe(403);
    stranger.close();
  });
});

/** The modules that freeswitch/ tells a node to load. */
function modulesOnDisk(): string[] {
  const xml = readFileSync(join(__dirname, '../../freeswitch/autoload_configs/modules.conf.xml'), 'utf8');
  return [...xml.matchAll(/module="(\w+)"/g)].map((m) => m[1]!);
}

function complaints(logFile: string): string[] {
  return readFileSync(logFile, 'utf8')
    .split('\n')
    .filter((line) => /\[(ERR|CRIT|ALERT)\]/.test(line));
}

/** Channel variables of a call record; their values are URL encoded. */
function variables(record: Record<string, unknown>): Record<string, string> {
  return (record.variables ?? {}) as Record<string, string>;
}

async function canConnect(port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(void socket.destroy()));
    socket.once('error', reject);
  });
}

async function eventually<T>(attempt: () => Promise<T>, timeoutMs = 15_000): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}
