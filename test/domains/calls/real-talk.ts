/** Real nodes, SIP phones that answer, and calls between them, for tests of what becomes of people who talk. */
import { randomBytes } from 'node:crypto';
import { openNodePassword } from '../../../src/domains/nodes/entering/node-password';
import type { NodeRow } from '../../../src/domains/nodes/nodes.store';
import { openConnection, type NodeConnection } from '../../../src/freeswitch/esl';
import { createLogger } from '../../../src/infra/logger';
import { startRealPool, type RealPool, type StartedReplica } from '../../browser/pool/real-pool';
import { openRawSip, type RawSip } from '../../doors/raw-sip';
import type { TestStores } from '../../stores';
import { until } from '../../until';

export const TALK_DOMAIN = 'talk.test';

export interface TalkCall {
  id: string;
  state: string;
  outcome: string | null;
  hangupCause: string | null;
  talkSeconds: number | null;
  answeredAt: string;
  endedAt: string;
  joinedInto: string | null;
  joined: { id: string; from: string; to: string }[];
  adoptedAt: string | null;
}

export type RealTalk = Awaited<ReturnType<typeof openRealTalk>>;

export async function openRealTalk(
  freeswitch: string,
  stores: TestStores,
  nodeCount: number,
  environment: Record<string, string> = {},
  startWith?: (environment: Record<string, string>) => Promise<StartedReplica>,
) {
  const secret = randomBytes(32);
  const settings = { SWITCHYARD_SECRET: secret.toString('base64'), CANARY_SECONDS: '0', ...environment };
  const pool: RealPool = await startRealPool(freeswitch, stores, nodeCount, settings, undefined, startWith);
  const phones: RawSip[] = [];
  const connections: NodeConnection[] = [];
  const close = async (): Promise<void> => {
    phones.forEach((phone) => phone.close());
    connections.forEach((connection) => connection.close());
    await pool.stop();
  };
  try {
    await pool.api.post('/v1/domains', { name: TALK_DOMAIN });
    const ask: ((line: string) => Promise<string>)[] = [];
    for (const node of pool.nodes) {
      const row = (await stores.db('nodes').where({ name: node.name }).first()) as NodeRow;
      const connection = await openConnection({
        host: '127.0.0.1',
        port: row.esl_port,
        password: openNodePassword(secret, row),
        connectTimeoutMs: 5000,
        logger: createLogger('silent'),
      });
      connections.push(connection);
      ask.push(async (line) => (await connection.api({ line }, { timeoutMs: 5000 })).text);
    }
    const addPhone = async (username: string, at = 0): Promise<RawSip> => {
      const password = `kettle-${randomBytes(6).toString('hex')}`;
      await pool.api.post('/v1/users', { domain: TALK_DOMAIN, username, password });
      const phone = await openRawSip({ nodePort: pool.nodes[at]!.sipPort });
      phones.push(phone);
      const address = `sip:${username}@${TALK_DOMAIN}`;
      const login = { username, password };
      const register = { method: 'REGISTER', uri: `sip:${TALK_DOMAIN}`, from: address, to: address, login };
      const { status } = await phone.send({ ...register, headers: ['Expires: 600'] });
      if (status !== 200) throw new Error(`${username} could not register: ${status}`);
      await until(`${username} is registered`, async () => {
        const { items } = await pool.api.get<{ items: { registrations: unknown[] }[] }>(
          `/v1/users?username=${username}`,
        );
        return items.some((user) => user.registrations.length > 0);
      });
      return phone;
    };
    const read = (id: string): Promise<TalkCall> => pool.api.get<TalkCall>(`/v1/calls/${id}`);
    const isIn = (id: string, state: string): Promise<TalkCall> => {
      let call: TalkCall | undefined;
      return until(
        () => `the call is ${state}: ${JSON.stringify(call)}`,
        async () => ((call = await read(id)).state === state ? call : undefined),
      );
    };
    const talk = async (from: string, to: string): Promise<string> => {
      const { id } = await pool.api.post<{ id: string }>('/v1/calls', {
        domain: TALK_DOMAIN,
        from: `user:${from}`,
        to: to.includes(':') || /^\d+$/.test(to) ? to : `user:${to}`,
      });
      await isIn(id, 'answered');
      return id;
    };
    /** Its legs' own ids, which the API does not tell. */
    const legOf = async (callId: string, role: string, at = 0): Promise<string> =>
      until(`there is a leg ${role}`, async () => {
        const rows = (await stores
          .db('legs as l')
          .join('nodes as n', 'n.id', 'l.node_id')
          .where({ 'l.call_id': callId, 'l.role': role, 'n.name': pool.nodes[at]!.name })
          .select('l.id')) as { id: string }[];
        return rows[0]?.id;
      });
    const eventsOf = async (callId: string): Promise<string[]> => {
      const query = `format=json&limit=1000&domain=${TALK_DOMAIN}&callId=${callId}`;
      const { items } = await pool.api.get<{ items: { type: string }[] }>(`/v1/events?${query}`);
      return items.map((event) => event.type);
    };
    const countChannels = async (at = 0): Promise<number> =>
      Number(/(\d+) total/.exec(await ask[at]!('show channels count'))?.[1]);
    return { pool, secret, ask, addPhone, talk, read, isIn, legOf, eventsOf, countChannels, close };
  } catch (error) {
    await close();
    throw error;
  }
}
