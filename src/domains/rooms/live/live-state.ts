/** The fast side of a room: who talks, who has the floor, how the network is. Kept in Redis, told to live listeners only. */
import type { Logger } from '../../../infra/logger';
import type { Redis } from '../../../infra/stores/redis';
import { storeClock } from '../../../infra/store-clock';
import type { SeenFloor } from '../control/desired-state';

export type QualityClass = 'good' | 'fair' | 'poor';

export interface LiveParticipant {
  talking: boolean;
  quality: QualityClass | null;
}

/** What is known of a session now. Floors are participants' ids. */
export interface LiveState {
  participants: Map<string, LiveParticipant>;
  floor: SeenFloor;
}

export type LiveMessage =
  | { type: 'participant.talking'; data: { participantId: string; talking: boolean } }
  | { type: 'participant.quality'; data: { participantId: string; quality: QualityClass } }
  | { type: 'floor'; data: { participantId: string | null; videoParticipantId: string | null } }
  /** Somebody came or went, or the room moved: the state is to be read again. */
  | { type: 'state'; data: Record<string, never> };

export interface LiveBoard {
  setTalking(session: LiveKey, participantId: string, talking: boolean): void;
  setQuality(session: LiveKey, participantId: string, quality: QualityClass): void;
  /**
   * Told at most twice a second for each session; the last word counts. `null`: nobody has it.
   * @param listedAtMs when the node was asked for a list that says so: what an event has told since then stays
   */
  setFloor(session: LiveKey, floor: SeenFloor, listedAtMs?: number): void;
  removeParticipant(session: LiveKey, participantId: string): void;
  forget(session: LiveKey): void;
  /** Says that the state is to be read again. */
  announce(session: LiveKey): void;
  /** Empty while Redis is away. A floor that this replica has seen and not told yet is in it: it is newer than Redis's. */
  read(sessionId: string): Promise<LiveState>;
  /** @returns how to stop hearing */
  listen(roomId: string, listener: (message: LiveMessage) => void): () => void;
  start(): Promise<void>;
  stop(): void;
}

export interface LiveKey {
  id: string;
  room_id: string;
}

export interface LiveBoardOptions {
  redis: Redis;
  /** A connection in subscriber mode; it may be shared. */
  subscriber: Redis;
  prefix: string;
  logger: Logger;
  floorEveryMs?: number;
}

/** A session that nobody told the end of is forgotten after this. */
const KEPT_MS = 6 * 3_600_000;
const FLOOR_EVERY_MS = 500;

interface FloorTurn {
  session: LiveKey;
  floor: SeenFloor;
  /** When an event said something of it. */
  seenAtMs: number;
  told: string;
  toldAtMs: number;
  timer: NodeJS.Timeout | undefined;
}

export function createLiveBoard(o: LiveBoardOptions): LiveBoard {
  const { redis, subscriber, prefix, logger, floorEveryMs = FLOOR_EVERY_MS } = o;
  const channel = `${prefix}:live`;
  const keyOf = (sessionId: string) => `${prefix}:live:${sessionId}`;
  const listeners = new Map<string, Set<(message: LiveMessage) => void>>();
  const floors = new Map<string, FloorTurn>();

  const fail = (error: Error): void => {
    logger.debug({ fault: error.message }, 'live state could not be written');
  };
  function write(session: LiveKey, field: string, value: unknown): void {
    const key = keyOf(session.id);
    redis.multi().hset(key, field, JSON.stringify(value)).pexpire(key, KEPT_MS).exec().catch(fail);
  }
  function tell(session: LiveKey, message: LiveMessage): void {
    redis.publish(channel, `${session.room_id} ${JSON.stringify(message)}`).catch(fail);
  }
  function hear(from: string, text: string): void {
    if (from !== channel) return;
    const set = listeners.get(text.slice(0, 36));
    if (!set) return;
    const message = JSON.parse(text.slice(37)) as LiveMessage;
    for (const listener of set) listener(message);
  }

  function flushFloor(turn: FloorTurn): void {
    turn.timer = undefined;
    const { audio, video } = turn.floor;
    write(turn.session, 'floor', turn.floor);
    const data = { participantId: audio ?? null, videoParticipantId: video ?? null };
    const text = JSON.stringify(data);
    turn.toldAtMs = storeClock.nowMs();
    if (text === turn.told) return;
    turn.told = text;
    tell(turn.session, { type: 'floor', data });
  }

  return {
    setTalking(session, participantId, talking) {
      write(session, `talking:${participantId}`, talking);
      tell(session, { type: 'participant.talking', data: { participantId, talking } });
    },
    setQuality(session, participantId, quality) {
      write(session, `quality:${participantId}`, quality);
      tell(session, { type: 'participant.quality', data: { participantId, quality } });
    },
    setFloor(session, floor, listedAtMs) {
      const fresh = { session, floor: {}, seenAtMs: 0, told: '', toldAtMs: 0, timer: undefined };
      const turn: FloorTurn = floors.get(session.id) ?? fresh;
      floors.set(session.id, turn);
      if (listedAtMs === undefined) turn.seenAtMs = storeClock.nowMs();
      else if (turn.seenAtMs >= listedAtMs) return;
      const next = { ...turn.floor, ...floor };
      if (JSON.stringify(next) === JSON.stringify(turn.floor)) return;
      turn.floor = next;
      const waitMs = turn.toldAtMs + floorEveryMs - storeClock.nowMs();
      if (waitMs <= 0 && !turn.timer) flushFloor(turn);
      else turn.timer ??= setTimeout(() => flushFloor(turn), waitMs);
    },
    removeParticipant(session, participantId) {
      redis.hdel(keyOf(session.id), `talking:${participantId}`, `quality:${participantId}`).catch(fail);
      tell(session, { type: 'state', data: {} });
    },
    forget(session) {
      clearTimeout(floors.get(session.id)?.timer);
      floors.delete(session.id);
      redis.del(keyOf(session.id)).catch(fail);
      tell(session, { type: 'state', data: {} });
    },
    announce: (session) => tell(session, { type: 'state', data: {} }),
    async read(sessionId) {
      const waiting = (): SeenFloor | undefined => {
        const turn = floors.get(sessionId);
        return turn?.timer && turn.floor;
      };
      const before = waiting();
      const state = stateOf(await redis.hgetall(keyOf(sessionId)).catch(() => ({})));
      const newer = waiting() ?? before;
      return newer ? { ...state, floor: newer } : state;
    },
    listen(roomId, listener) {
      const set = listeners.get(roomId) ?? new Set();
      listeners.set(roomId, set.add(listener));
      return () => {
        set.delete(listener);
        if (set.size === 0) listeners.delete(roomId);
      };
    },
    async start() {
      subscriber.on('message', hear);
      await subscriber.subscribe(channel);
    },
    stop() {
      subscriber.off('message', hear);
      for (const turn of floors.values()) clearTimeout(turn.timer);
      floors.clear();
    },
  };
}

function stateOf(fields: Record<string, string>): LiveState {
  const participants = new Map<string, LiveParticipant>();
  const of = (id: string): LiveParticipant => {
    const known = participants.get(id) ?? { talking: false, quality: null };
    participants.set(id, known);
    return known;
  };
  for (const [field, value] of Object.entries(fields)) {
    const [what, id] = field.split(':');
    if (!id) continue;
    if (what === 'talking') of(id).talking = JSON.parse(value) as boolean;
    if (what === 'quality') of(id).quality = JSON.parse(value) as QualityClass;
  }
  return { participants, floor: fields.floor ? (JSON.parse(fields.floor) as SeenFloor) : {} };
}
