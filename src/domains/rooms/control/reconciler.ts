/** Brings rooms to what is desired for them: on every sign of a difference, and by a sweep of what the nodes list. */
import {
  listMemberFlags,
  listRoomFlags,
  listRooms,
  parseRoomFlags,
  parseRooms,
  type ApiCommand,
  type MemberFlags,
  type Reply,
  type RoomFlags,
  type RoomMember,
  type RoomSnapshot,
} from '../../../freeswitch/esl';
import type { Db } from '../../../infra/stores/db';
import type { Logger } from '../../../infra/logger';
import type { Redis } from '../../../infra/stores/redis';
import { storeClock } from '../../../infra/store-clock';
import { createLeaderLease, type LeaderLease } from '../../../infra/stores/leader-lease';
import type { EventLog } from '../../events/events';
import type { NodeConnections } from '../../nodes/connections/node-connections';
import type { LiveBoard } from '../live/live-state';
import { findParticipant, listParticipants, type ParticipantRow } from '../participants/participants.store';
import { draftParticipantEvent, draftSessionEvent } from '../room-events';
import { findSession, listLivingSessions, type SessionRow } from '../sessions/sessions.store';
import {
  forgetFailed,
  listPeopleOfSessions,
  markFailed,
  mergeListed,
  mergeListedSession,
  mergeSeen,
  mergeSeenSession,
} from './control.store';
import {
  listDifferences,
  nextStep,
  type Attempt,
  type Difference,
  type SeenFloor,
  type SeenParticipant,
} from './desired-state';

export interface ReconcilerDeps {
  db: Db;
  log: EventLog;
  logger: Logger;
  links: Pick<NodeConnections, 'api' | 'isUp'>;
  live: LiveBoard;
  redis: Redis;
  prefix: string;
}

export interface Reconciler {
  /** Soon, and once however often it is said in the meantime. */
  nudge(sessionId: string): void;
  /** Now; resolves when the commands are answered. What they bring about is told by events. */
  reconcile(sessionId: string): Promise<void>;
  /** Does something while nothing is brought about in the session here: what comes then sees what this has done. */
  alone<T>(sessionId: string, work: () => Promise<T>): Promise<T>;
  /** Something was asked for again, of a participant or a session: what was tried for it before does not count. */
  forgetAttempts(id: string, whats: readonly string[]): void;
  /** Compares every living session with its node's lists. One replica does it for each node. */
  sweep(): Promise<void>;
  /** The same for one node, at once: after a reconnect. */
  sweepNode(nodeId: string): Promise<void>;
  /** Whether this replica is the one that looks at the node now. */
  acquireLease(nodeId: string): Promise<boolean>;
  stop(): Promise<void>;
}

const NUDGE_MS = 30;
const LEASE_MS = 6000;

export function createReconciler(deps: ReconcilerDeps): Reconciler {
  const leases = new Map<string, LeaderLease>();
  /** `participant or session : what is desired` → what was done for it. */
  const attempts = new Map<string, Attempt>();
  const running = new Map<string, Promise<void>>();
  const timers = new Map<string, { timer: NodeJS.Timeout; atMs: number }>();
  let stopped = false;

  /** Wakes the session up at that time, or earlier where it is awaited earlier. */
  function wake(sessionId: string, atMs: number): void {
    const waiting = timers.get(sessionId);
    if (stopped || (waiting && waiting.atMs <= atMs)) return;
    clearTimeout(waiting?.timer);
    const timer = setTimeout(
      () => {
        timers.delete(sessionId);
        reconcile(sessionId).catch((error: unknown) => {
          deps.logger.debug({ err: error, sessionId }, 'a room could not be brought to what is desired for it now');
        });
      },
      Math.max(0, atMs - storeClock.nowMs()),
    );
    timers.set(sessionId, { timer, atMs });
  }

  /** One after the other for each session: two at once would send everything twice. */
  function alone<T>(sessionId: string, work: () => Promise<T>): Promise<T> {
    const mine = (running.get(sessionId) ?? Promise.resolve()).then(work);
    const over: Promise<void> = mine.then(
      () => undefined,
      () => undefined,
    );
    running.set(sessionId, over);
    void over.then(() => {
      if (running.get(sessionId) === over) running.delete(sessionId);
    });
    return mine;
  }

  const reconcile = (sessionId: string): Promise<void> =>
    alone(sessionId, () => (stopped ? Promise.resolve() : run(sessionId)));

  async function run(sessionId: string): Promise<void> {
    const session = await findSession(deps.db, sessionId);
    if (session?.state !== 'live' || !session.node_id) return;
    const people = await listParticipants(deps.db, sessionId, ['in']);
    const { floor } = await deps.live.read(sessionId);
    const differences = listDifferences(session, people, floor);
    forgetFulfilled(session, people, differences);
    let wakeAtMs = Infinity;
    for (const difference of differences) {
      const key = keyOf(session, difference);
      const step = nextStep(difference.wanted, attempts.get(key), storeClock.nowMs());
      if (step.do === 'give_up') {
        await giveUp(session, difference, step.tries);
        continue;
      }
      if (step.do === 'wait') {
        wakeAtMs = Math.min(wakeAtMs, step.untilMs);
        continue;
      }
      await attempt(session, key, difference);
      const after = nextStep(difference.wanted, attempts.get(key), storeClock.nowMs());
      if (after.do === 'wait') wakeAtMs = Math.min(wakeAtMs, after.untilMs);
    }
    if (wakeAtMs < Infinity) wake(sessionId, wakeAtMs);
  }

  const keyOf = (session: SessionRow, d: Difference): string => `${d.participantId ?? session.id}:${d.what}`;

  function forgetFulfilled(session: SessionRow, people: ParticipantRow[], differences: Difference[]): void {
    const open = new Set(differences.map((d) => keyOf(session, d)));
    for (const id of [session.id, ...people.map((p) => p.id)]) {
      for (const key of attempts.keys()) if (key.startsWith(`${id}:`) && !open.has(key)) attempts.delete(key);
    }
  }

  /** @throws where the node is unavailable: that is no try */
  async function attempt(session: SessionRow, key: string, d: Difference): Promise<void> {
    const before = attempts.get(key);
    const commands = d.commandsFor ? await commandsToRestoreFloor(session, d) : d.commands;
    if (commands.length === 0) return;
    const replies = await Promise.all(commands.map((command) => deps.links.api(session.node_id!, command)));
    const tries = before?.wanted === d.wanted ? before.tries + 1 : 1;
    attempts.set(key, { wanted: d.wanted, tries, lastAtMs: storeClock.nowMs() });
    const last: Reply | undefined = replies.at(-1);
    if (!d.readReply || !last) return;
    const seen = d.readReply(last);
    if (seen === undefined) {
      deps.logger.debug(
        { sessionId: session.id, what: d.what, reply: last.text.slice(0, 120) },
        'a node refused a desired change',
      );
      return;
    }
    if (d.participantId === null) {
      await mergeSeenSession(deps.db, session.id, { [d.what]: seen });
      // A layer belongs to the layout it was taken in.
      if (d.what === 'layout') await forgetLayers(session);
    } else {
      const person = await findParticipant(deps.db, d.participantId);
      if (person?.leg_id) await mergeSeen(deps.db, person.session_id, person.leg_id, { [d.what]: seen });
    }
  }

  /** To say "floor" twice takes it away again, and its event may be on its way: so the node is asked who has it now. */
  async function commandsToRestoreFloor(session: SessionRow, d: Difference): Promise<ApiCommand[]> {
    const listedAtMs = storeClock.nowMs();
    const listed = await deps.links.api(session.node_id!, listMemberFlags(session.id));
    const holder = parseRoomFlags(listed.text, session.id)[0]?.members.find((m) => m.floor);
    const commands = d.commandsFor!(holder?.memberId ?? null);
    if (commands.length === 0) deps.live.setFloor(session, { audio: d.participantId }, listedAtMs);
    return commands;
  }

  async function forgetLayers(session: SessionRow): Promise<void> {
    const people = await listParticipants(deps.db, session.id, ['in']);
    for (const p of people) {
      if (p.layer === null || p.leg_id === null) continue;
      await mergeSeen(deps.db, p.session_id, p.leg_id, { layer: null });
      await forgetFailed(deps.db, 'participants', p.id, ['layer']); // this layout may have it
      attempts.delete(`${p.id}:layer`);
    }
    wake(session.id, storeClock.nowMs() + NUDGE_MS);
  }

  async function giveUp(session: SessionRow, d: Difference, tries: number): Promise<void> {
    const { what, wanted, seen } = d;
    await deps.log.record(async (trx, emit) => {
      const isOfPerson = d.participantId !== null && what !== 'floor' && what !== 'videoFloor';
      const table = isOfPerson ? 'participants' : 'sessions';
      if (!(await markFailed(trx, table, isOfPerson ? d.participantId! : session.id, what, wanted))) return;
      const person = d.participantId === null ? undefined : await findParticipant(trx, d.participantId);
      const data = { what, wanted, seen, tries };
      emit(
        person
          ? draftParticipantEvent('participant.change_failed', person, data)
          : draftSessionEvent('session.change_failed', session, data),
      );
    });
    attempts.delete(keyOf(session, d));
    deps.logger.warn({ sessionId: session.id, what, wanted, seen, tries }, 'a desired change was given up');
  }

  async function sweepNode(nodeId: string): Promise<void> {
    const sessions = (await listLivingSessions(deps.db, nodeId)).filter((s) => s.state === 'live');
    if (sessions.length === 0) return;
    const people = await listPeopleOfSessions(
      deps.db,
      sessions.map((s) => s.id),
    );
    const listedAtMs = storeClock.nowMs();
    const [listed, flagged] = await Promise.all([
      deps.links.api(nodeId, listRooms()),
      deps.links.api(nodeId, listRoomFlags()),
    ]);
    const rooms = new Map(parseRooms(listed.text).map((room) => [room.name, room]));
    const flags = new Map(parseRoomFlags(flagged.text).map((room) => [room.name, room]));
    for (const session of sessions) {
      const room = rooms.get(session.id);
      if (!room) continue;
      const here = people.filter((p) => p.session_id === session.id);
      await takeListed(deps, session, here, room, flags.get(session.id));
      const floor = floorOf(here, flags.get(session.id));
      if (floor) deps.live.setFloor(session, floor, listedAtMs);
      // Read again inside: a desired change may have changed in the meantime.
      if (listDifferences(session, here, floor ?? {}).length > 0 || hasMoved(session, room))
        wake(session.id, storeClock.nowMs());
    }
  }

  const hasMoved = (session: SessionRow, room: RoomSnapshot): boolean => session.locked !== room.locked;

  function acquireLease(nodeId: string): Promise<boolean> {
    const lease = leases.get(nodeId) ?? createLeaderLease(deps.redis, `${deps.prefix}:control:${nodeId}`, LEASE_MS);
    leases.set(nodeId, lease);
    return lease.acquire();
  }

  return {
    nudge: (sessionId) => wake(sessionId, storeClock.nowMs() + NUDGE_MS),
    reconcile,
    alone,
    forgetAttempts(id, whats) {
      for (const what of whats) attempts.delete(`${id}:${what}`);
    },
    sweepNode,
    acquireLease,
    async sweep() {
      const living = await listLivingSessions(deps.db);
      const nodeIds = [...new Set(living.flatMap((s) => (s.state === 'live' && s.node_id ? [s.node_id] : [])))];
      await Promise.all(
        nodeIds.map(async (nodeId) => {
          if (!deps.links.isUp(nodeId) || !(await acquireLease(nodeId))) return;
          await sweepNode(nodeId).catch((error: unknown) => {
            deps.logger.debug({ err: error, nodeId }, 'the rooms of a node could not be looked at now');
          });
        }),
      );
    },
    async stop() {
      stopped = true;
      for (const { timer } of timers.values()) clearTimeout(timer);
      timers.clear();
      await Promise.allSettled(running.values());
    },
  };
}

/** Writes down what the lists say and the rows do not, where no event has said more since the rows were read. */
async function takeListed(
  deps: Pick<ReconcilerDeps, 'db'>,
  session: SessionRow,
  people: readonly ParticipantRow[],
  room: RoomSnapshot,
  flags: RoomFlags | undefined,
): Promise<void> {
  if (session.observed.locked !== room.locked) {
    await mergeListedSession(deps.db, session, { locked: room.locked });
  }
  for (const member of room.members) {
    const person = people.find((p) => p.leg_id === member.legId);
    if (!person) continue;
    const seen = seenInList(
      member,
      flags?.members.find((m) => m.memberId === member.memberId),
    );
    const known = person.observed as SeenParticipant;
    const differs = Object.entries(seen).some(([name, value]) => known[name as keyof SeenParticipant] !== value);
    if (!differs || !(await mergeListed(deps.db, person, seen))) continue;
    person.observed = { ...known, ...seen };
  }
}

/** The list says nothing of a muted video: that is known from events only. */
function seenInList(member: RoomMember, flags: MemberFlags | undefined): Partial<SeenParticipant> {
  const { muted, deaf, hasVideo, moderator, volumeIn, volumeOut } = member;
  return {
    muted,
    deaf,
    hasVideo,
    moderator,
    volumeIn,
    volumeOut,
    ...(flags ? { reservation: flags.reservation } : {}),
  };
}

function floorOf(people: readonly ParticipantRow[], flags: RoomFlags | undefined): SeenFloor | undefined {
  if (!flags) return undefined;
  const holder = (of: (m: MemberFlags) => boolean): string | null => {
    const member = flags.members.find(of);
    return people.find((p) => p.member_id === member?.memberId)?.id ?? null;
  };
  return {
    audio: holder((m) => m.floor),
    video: holder((m) => m.videoFloor),
    ...(flags.videoFloorHeld === undefined ? {} : { videoHeld: flags.videoFloorHeld }),
  };
}
