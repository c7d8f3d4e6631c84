/** One scripted room a test, steered over REST as a whole Switchyard steers it: what tests of room control stand in. */
import { randomUUID } from 'node:crypto';
import { createEventLog } from '../../../src/domains/events/events';
import { readEvents, type LoggedEvent } from '../../../src/domains/events/events.store';
import type { NodeRow } from '../../../src/domains/nodes/nodes.store';
import { UNCOUNTED_STREAMS } from '../../../src/domains/quotas/streams';
import { createRoomControl, type RoomControl } from '../../../src/domains/rooms/control';
import { createRoomHooks } from '../../../src/domains/rooms/sessions/listeners';
import { requireLayout } from '../../../src/domains/rooms/layouts/layouts';
import { insertParticipant, updateParticipant } from '../../../src/domains/rooms/participants/participants.store';
import { insertSession } from '../../../src/domains/rooms/sessions/sessions.store';
import { createId } from '../../../src/infra/ids';
import { createLogger } from '../../../src/infra/logger';
import { createBlockingRedis, createRedis, type Redis } from '../../../src/infra/stores/redis';
import { startApi, type TestApi } from '../../http/start-api';
import { useStores, type TestStores } from '../../stores';
import { scriptRoom, type ScriptedRoom } from './scripted-room';

export interface ControlNow {
  api: TestApi;
  room: ScriptedRoom;
  domainId: string;
  roomId: string;
  sessionId: string;
}

export interface ControlApi {
  stores: TestStores;
  /** What was asked for of calls. */
  calls: unknown[];
  /** The room of the present test. */
  now(): ControlNow;
  enter(memberId: number, name: string, role?: 'moderator' | 'participant'): Promise<string>;
  /** A path below the room. */
  at(path: string): string;
  call(method: string, path: string, body?: unknown): ReturnType<TestApi['call']>;
  events(type: string): Promise<LoggedEvent[]>;
}

/** Call once, at the top of a test file. */
export function useControlApi(): ControlApi {
  let api: TestApi;
  let roomControl: RoomControl;
  let redis: Redis;
  let subscriber: Redis;

  // Before the stores have theirs: what looks at them again and again has to end first.
  afterAll(async () => {
    await api?.close();
    await roomControl?.stop();
    for (const connection of [redis, subscriber]) connection?.disconnect();
  });

  const stores = useStores();
  let domainId: string;
  let node: NodeRow;
  let room: ScriptedRoom;
  let roomId: string;
  let sessionId: string;
  const rooms = new Map<string, ScriptedRoom>();
  const calls: unknown[] = [];

  beforeAll(async () => {
    const logger = createLogger('silent');
    const { db, redisPrefix: prefix } = stores;
    redis = createRedis(stores.redisUrl, logger);
    await redis.connect();
    subscriber = createBlockingRedis(stores.redisUrl, logger);
    roomControl = createRoomControl({
      db,
      log: createEventLog(db, { ring: () => undefined }, logger),
      logger,
      links: { api: (_id, command) => roomOf(command.line).api('', command), isUp: () => true },
      hooks: createRoomHooks(logger),
      handleMemberFacts: () => Promise.resolve(),
      redis,
      subscriber,
      prefix,
      markLeft: async (p, at, reason) => {
        const left = { state: 'left' as const, left_at: at, leave_reason: reason, leg_id: null, member_id: null };
        return (await updateParticipant(db, p.id, ['joining', 'in'], left)) !== undefined;
      },
      requireLayout: (id, name) => requireLayout(db, id, name),
      createCall: (asked) => {
        calls.push(asked);
        return Promise.resolve({ id: randomUUID() });
      },
      streams: UNCOUNTED_STREAMS,
      authenticate: () => Promise.resolve(undefined),
      onKeyRevoked: () => () => undefined,
      sweepEveryMs: 100,
      sampleEveryMs: 60_000,
    });
    await roomControl.start();
    api = await startApi(stores, { extra: roomControl.routes });
    domainId = (await api.call('POST', '/v1/domains', { name: 'live.test' })).body.id;
    node = { id: createId(), name: 'n1' } as NodeRow;
    await db('nodes').insert({
      id: node.id,
      name: 'n1',
      secret_hash: 'x',
      esl_password_sealed: 'x',
      host: '127.0.0.1',
      esl_port: 1,
      sip_port: 2,
      internode_port: 3,
      ws_port: 4,
      capacity_units: 100,
      state: 'serving',
    });
  });

  /** A command that names no room is answered by the one the test is about: lists are of the node as a whole. */
  const roomOf = (line: string): ScriptedRoom => rooms.get(line.split(' ')[1]!) ?? room;

  beforeEach(async () => {
    roomId = createId();
    sessionId = createId();
    await stores.db('sessions').whereNot('state', 'ended').update({ state: 'ended', end_reason: 'closed' });
    await stores.db('rooms').insert({ id: roomId, domain_id: domainId, name: `r-${roomId}` });
    await insertSession(stores.db, {
      id: sessionId,
      room_id: roomId,
      domain_id: domainId,
      node_id: node.id,
      epoch: '1',
      meeting_id: sessionId,
      state: 'live',
      units: '1',
      settings: {},
    });
    room = scriptRoom(node, sessionId, () => roomControl);
    rooms.set(sessionId, room);
  });

  async function enter(
    memberId: number,
    name: string,
    role: 'moderator' | 'participant' = 'participant',
  ): Promise<string> {
    const member = room.enter(memberId);
    const row = await insertParticipant(stores.db, {
      id: createId(),
      room_id: roomId,
      session_id: sessionId,
      meeting_id: sessionId,
      domain_id: domainId,
      leg_id: member.legId,
      member_id: memberId,
      identity: `user:${name}`,
      kind: 'user',
      name,
      role,
      state: 'in',
      joined_at: new Date(),
    });
    await room.tell('add-member', memberId);
    return row.id;
  }

  const at = (path: string) => `/v1/rooms/${roomId}${path}`;
  const call = (method: string, path: string, body?: unknown) => api.call(method, at(path), body);
  const events = async (type: string) =>
    (await readEvents(stores.db, domainId, 0, 1000)).filter((e) => e.type === type && e.roomId === roomId);

  return { stores, calls, now: () => ({ api, room, domainId, roomId, sessionId }), enter, at, call, events };
}
