/** Looks at both truths at once: what the database and Redis hold, and what the nodes themselves say. */
import type { Redis } from 'ioredis';
import type { Pool } from 'pg';
import {
  listRooms,
  openConnection,
  parseChannels,
  parseRooms,
  showChannels,
  type ChannelRow,
  type NodeConnection,
  type RoomSnapshot,
} from '../../../../src/freeswitch/esl';
import { createLogger } from '../../../../src/infra/logger';
import { REDIS_PREFIX, type Cluster } from '../cluster';

export interface CallSeen {
  id: string;
  state: string;
  node: string | null;
  from_address: string;
  to_address: string;
  origin: string;
  leg_id: string | null;
  age: number;
}
export interface SessionSeen {
  id: string;
  room_id: string;
  state: string;
  node: string | null;
  lease_session: string | null;
  lease_node: string | null;
}
export interface ParticipantSeen {
  id: string;
  session_id: string;
  state: string;
  leg_id: string | null;
  call_id: string | null;
  identity: string;
}

export interface RoomState {
  calls: CallSeen[];
  sessions: SessionSeen[];
  participants: ParticipantSeen[];
  recordings: { id: string; state: string; kind: string; reason: string | null; parts: string }[];
  legs: { id: string; call_id: string; node: string | null; state: string }[];
  /** Channel ids of calls that have ended, and rooms of sessions that have. */
  knownLegs: Map<string, { call_id: string; call_state: string }>;
  roomOfSession: Map<string, string>;
  claims: { node: string; id: string; units: number }[];
  claimTotals: { node: string; total: number }[];
  nodes: Map<string, { id: string; state: string; channels: ChannelRow[]; rooms: RoomSnapshot[] }>;
}

/** Nothing is harmed any more when it is looked: only a slow machine takes so long. */
const COMMAND_MS = 30_000;

export interface Looker {
  check(): Promise<RoomState>;
  close(): void;
}

/** @param passwords of the Event Sockets, by node */
export async function openLooker(
  cluster: Cluster,
  db: Pool,
  redis: Redis,
  passwords: ReadonlyMap<string, string>,
): Promise<Looker> {
  const logger = createLogger('silent');
  const connections = new Map<string, NodeConnection>();
  for (const { name, eslPort } of cluster.nodes) {
    const password = passwords.get(name) ?? '';
    const o = { host: '127.0.0.1', port: eslPort, password, connectTimeoutMs: COMMAND_MS, logger };
    connections.set(name, await openConnection(o));
  }
  const rows = async <T>(sql: string, values: unknown[] = []): Promise<T[]> =>
    (await db.query(sql, values)).rows as T[];

  return {
    async check() {
      const known = await rows<{ id: string; name: string; state: string }>('select id, name, state from nodes');
      const nodes: RoomState['nodes'] = new Map();
      for (const { id, name, state } of known) {
        const connection = connections.get(name)!;
        const channels = parseChannels((await connection.api(showChannels(), { timeoutMs: COMMAND_MS })).text);
        const rooms = parseRooms((await connection.api(listRooms(), { timeoutMs: COMMAND_MS })).text);
        nodes.set(name, { id, state, channels, rooms });
      }
      const channelIds = [...nodes.values()].flatMap((n) => n.channels.map((c) => c.legId));
      const roomNames = [...nodes.values()].flatMap((n) => n.rooms.map((r) => r.name));
      const claims: RoomState['claims'] = [];
      const claimTotals: RoomState['claimTotals'] = [];
      for (const { id, name } of known) {
        const base = `${REDIS_PREFIX}:{claims:${id}}`;
        for (const [claim, units] of Object.entries(await redis.hgetall(`${base}:units`)))
          claims.push({ node: name, id: claim, units: Number(units) });
        claimTotals.push({ node: name, total: Number((await redis.get(`${base}:total`)) ?? 0) });
      }
      const legs = await rows<{ id: string; call_id: string; call_state: string }>(
        `select l.id, l.call_id, c.state as call_state from legs l join calls c on c.id = l.call_id where l.id = any($1)`,
        [channelIds],
      );
      const sessions = await rows<{ id: string; room_id: string }>(
        'select id, room_id from sessions where id::text = any($1)',
        [roomNames],
      );
      return {
        nodes,
        claims,
        claimTotals,
        knownLegs: new Map(legs.map((leg) => [leg.id, leg])),
        roomOfSession: new Map(sessions.map((s) => [s.id, s.room_id])),
        calls: await rows<CallSeen>(
          `select c.id, c.state, n.name as node, c.from_address, c.to_address, c.origin,
                  (select leg_id from call_attempts a where a.call_id = c.id order by number desc limit 1) as leg_id,
                  extract(epoch from now() - c.queued_at)::int as age
             from calls c left join nodes n on n.id = c.node_id where c.state <> 'ended' order by c.id`,
        ),
        sessions: await rows<SessionSeen>(
          `select s.id, s.room_id, s.state, n.name as node, l.session_id as lease_session, m.name as lease_node
             from sessions s left join nodes n on n.id = s.node_id left join leases l on l.room_id = s.room_id
             left join nodes m on m.id = l.node_id where s.state <> 'ended'`,
        ),
        participants: await rows<ParticipantSeen>(
          `select id, session_id, state, leg_id, call_id, identity from participants where state in ('joining', 'in')`,
        ),
        recordings: await rows(
          `select r.id, r.state, r.kind, r.reason, (select coalesce(string_agg(p.state, ','), '')
             from recording_parts p where p.recording_id = r.id) as parts
             from recordings r where r.state in ('starting', 'recording', 'stopping', 'uploading')`,
        ),
        legs: await rows(
          `select l.id, l.call_id, n.name as node, l.state from legs l left join nodes n on n.id = l.node_id
            where l.state <> 'ended'`,
        ),
      };
    },
    close: () => connections.forEach((connection) => connection.close()),
  };
}
