/** One real node under a real Switchyard, two tenants, and sockets that say to it what no honest phone says. */
import { randomBytes } from 'node:crypto';
import { openConnection, type NodeConnection } from '../../src/freeswitch/esl';
import { openNodePassword } from '../../src/domains/nodes/entering/node-password';
import type { NodeRow } from '../../src/domains/nodes/nodes.store';
import { createLogger } from '../../src/infra/logger';
import { startRealPool, type RealPool } from '../browser/pool/real-pool';
import type { TestStores } from '../stores';
import { until } from '../until';
import { openRawSip, sdpOf, type Dialog, type Login, type RawAnswer, type RawRequest, type RawSip } from './raw-sip';

export const ALPHA = 'alpha.test';
export const BETA = 'beta.test';

export interface Call {
  id: string;
  state: string;
  outcome: string | null;
  legs: { id: string; role: string; state: string }[];
}
interface Registered {
  username: string;
  registrations: { contact: string; node: string }[];
}
export interface PoolEvent {
  type: string;
  data: Record<string, unknown>;
}

export type HostileApp = Awaited<ReturnType<typeof startHostileApp>>;

/** alpha.test has mallory, who is registered, ann, and a guest of the room `daily`; beta.test has 1001 and 1002. */
export async function startHostileApp(freeswitch: string, stores: TestStores) {
  const secret = randomBytes(32);
  const passwords: Record<string, string> = Object.fromEntries(
    ['mallory', 'ann', '1001', '1002'].map((name) => [name, `kettle-${randomBytes(6).toString('hex')}`]),
  );
  const open: { close(): void }[] = [];
  const environment = { SWITCHYARD_SECRET: secret.toString('base64'), CANARY_SECONDS: '0' };
  const pool: RealPool = await startRealPool(freeswitch, stores, 1, environment);
  const node = pool.nodes[0]!;
  let esl: NodeConnection | undefined;
  const close = async (): Promise<void> => {
    for (const each of open) each.close();
    esl?.close();
    await pool.stop();
  };

  const socket = async (address?: string, nodePort = node.sipPort): Promise<RawSip> => {
    const opened = await openRawSip({ nodePort, ...(address ? { address } : {}) });
    open.push(opened);
    return opened;
  };
  const ask = async (line: string): Promise<string> => (await esl!.api({ line }, { timeoutMs: 5000 })).text;
  const loginOf = (username: string): Login => ({ username, password: passwords[username]! });
  /** A request as an honest phone would send it, with what a test changes. */
  const say = (
    raw: RawSip,
    username: string,
    domain: string,
    o: Partial<RawRequest> & { method: string },
  ): Promise<RawAnswer> =>
    raw.send({
      uri: `sip:${domain}`,
      from: `sip:${username}@${domain}`,
      to: `sip:${username}@${domain}`,
      login: loginOf(username),
      ...o,
    });
  const register = (raw: RawSip, username: string, domain: string, o: Partial<RawRequest> = {}): Promise<RawAnswer> =>
    say(raw, username, domain, { method: 'REGISTER', headers: ['Expires: 300'], ...o });
  const call = (
    raw: RawSip,
    username: string,
    domain: string,
    number: string,
    o: Partial<RawRequest> = {},
  ): Promise<RawAnswer> =>
    say(raw, username, domain, {
      method: 'INVITE',
      uri: `sip:${number}@${domain}`,
      to: `sip:${number}@${domain}`,
      body: sdpOf(raw.address),
      bodyType: 'application/sdp',
      ...o,
    });
  const inDialog = (raw: RawSip, dialog: Dialog, method: string, o: Partial<RawRequest> = {}): Promise<RawAnswer> =>
    raw.send({ method, uri: dialog.target, from: dialog.from, to: dialog.to, dialog, ...o });
  const registrationsOf = async (username: string): Promise<Registered['registrations']> => {
    const { items } = await pool.api.get<{ items: Registered[] }>(`/v1/users?username=${username}`);
    return items.flatMap((user) => user.registrations);
  };
  const countChannels = async (): Promise<number> => Number(/(\d+) total/.exec(await ask('show channels count'))?.[1]);
  const poolEvents = async (type: string): Promise<PoolEvent[]> => {
    const { items } = await pool.api.get<{ items: PoolEvent[] }>('/v1/events?format=json&limit=1000');
    return items.filter((event) => event.type === type);
  };

  try {
    for (const name of [ALPHA, BETA]) await pool.api.post('/v1/domains', { name });
    for (const [username, domain] of [
      ['mallory', ALPHA],
      ['ann', ALPHA],
      ['1001', BETA],
      ['1002', BETA],
    ]) {
      await pool.api.post('/v1/users', { domain, username, password: passwords[username!] });
    }
    const { id } = await pool.api.post<{ id: string }>('/v1/rooms', { domain: ALPHA, name: 'daily' });
    const grant = await pool.api.post<Record<string, string>>(`/v1/rooms/${id}/grants`, { name: 'Guest' });
    const guest: Login = { username: grant.username!, ha1: grant.ha1! };
    const row = (await stores.db('nodes').first()) as NodeRow;
    esl = await openConnection({
      host: '127.0.0.1',
      port: row.esl_port,
      password: openNodePassword(secret, row),
      connectTimeoutMs: 5000,
      logger: createLogger('silent'),
    });
    const mallory = await socket();
    /** Where a node would be led: it must hear nothing. */
    const sink = await socket('127.0.0.9');
    const victims = [await socket(), await socket()] as const;
    for (const [index, username] of ['1001', '1002'].entries()) {
      const { status } = await register(victims[index]!, username, BETA);
      if (status !== 200) throw new Error(`${username} could not register: ${status}`);
    }
    const { status } = await register(mallory, 'mallory', ALPHA);
    if (status !== 200) throw new Error(`mallory could not register: ${status}`);
    await until('all are registered', async () => (await registrationsOf('1002')).length === 1);
    /** 1002 of beta rings 1001, who answers. */
    const connectVictims = async (): Promise<{ id: string; dialog: Dialog }> => {
      const answered = await call(victims[1], '1002', BETA, '1001');
      if (!answered.dialog) throw new Error(`1001 could not be called: ${answered.status}`);
      const talking = await until('the victims talk', async () => {
        const { items } = await pool.api.get<{ items: Call[] }>('/v1/calls?limit=20');
        return items.find((c) => c.state === 'answered' && c.legs.length === 2);
      });
      return { id: talking.id, dialog: answered.dialog };
    };
    return {
      ...{ pool, node, ask, mallory, sink, victims, guest, socket, loginOf, say, register, call, inDialog },
      ...{ registrationsOf, countChannels, poolEvents, connectVictims, close },
      noChannels: (): Promise<unknown> => until('no channel is left', async () => (await countChannels()) === 0),
    };
  } catch (error) {
    await close();
    throw error;
  }
}
