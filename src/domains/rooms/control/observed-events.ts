/** Takes in what a node reports of those in a room: what was desired and is done now, who talks, who has the floor. */
import { isId } from '../../../infra/ids';
import type { RoomEvent } from '../../../freeswitch/esl';
import type { Db } from '../../../infra/stores/db';
import type { Logger } from '../../../infra/logger';
import { storeClock } from '../../../infra/store-clock';
import type { NodeRow } from '../../nodes/nodes.store';
import type { LiveBoard } from '../live/live-state';
import { findSessions } from '../participants/member-batch.store';
import { readMemberId } from '../participants/reduce-members';
import type { SessionRow } from '../sessions/sessions.store';
import { findByMembers, mergeSeenOf, mergeSeenSession } from './control.store';
import type { SeenFloor, SeenParticipant } from './desired-state';

export interface LiveEventDeps {
  db: Db;
  logger: Logger;
  live: LiveBoard;
  /** Something was seen that may differ from what is desired: look at the session soon. */
  nudge: (sessionId: string) => void;
}

/** One report of a room. */
export interface RoomFact {
  node: NodeRow;
  event: RoomEvent;
}

export interface LiveEvents {
  /** In the order in which they came: sessions and members are looked up at once, and what was seen is written at once. */
  take(facts: readonly RoomFact[]): Promise<void>;
  /** What is remembered of a session is forgotten. */
  forget(sessionId: string): void;
}

/** Events of a node's sessions are many; their rows hardly change. */
const SESSION_KNOWN_MS = 2000;

/** What every event of a member carries, as the node has it then (conference_member_add_event_data). */
export function seenInEvent(event: RoomEvent): Partial<SeenParticipant> | undefined {
  const { fields } = event;
  if (fields.Hear === undefined || fields.Speak === undefined) return undefined;
  const level = Number(fields['Volume-Level']);
  return {
    muted: fields.Speak !== 'true',
    deaf: fields.Hear !== 'true',
    ...(fields.See === undefined ? {} : { videoMuted: fields.See !== 'true' }),
    ...(fields.Video === undefined ? {} : { hasVideo: fields.Video === 'true' }),
    ...(fields['Member-Type'] === undefined ? {} : { moderator: fields['Member-Type'] === 'moderator' }),
    ...(event.action === 'volume-in-member' && Number.isInteger(level) ? { volumeIn: level } : {}),
    ...(event.action === 'volume-out-member' && Number.isInteger(level) ? { volumeOut: level } : {}),
  };
}

interface KnownMember {
  participantId: string;
  /** What was written last, so that the same is not written again. */
  written: string;
  talking: boolean;
}

/** What a member was seen to do in a batch. */
interface SeenMember {
  member: KnownMember;
  /** As it was told last. */
  text: string;
  sessionId: string;
  legId: string;
  seen: Partial<SeenParticipant>;
}

export function createLiveEvents(deps: LiveEventDeps): LiveEvents {
  const sessions = new Map<string, { row: SessionRow | undefined; atMs: number }>();
  /** `session:member` → who that is. */
  const members = new Map<string, KnownMember>();

  /** Those that are not known, or not for sure any more. */
  async function learnSessions(facts: readonly RoomFact[]): Promise<void> {
    const nowMs = storeClock.nowMs();
    const isFresh = (id: string): boolean => nowMs - (sessions.get(id)?.atMs ?? -Infinity) < SESSION_KNOWN_MS;
    const ids = [...new Set(facts.map(({ event }) => event.room))].filter((id) => isId(id) && !isFresh(id));
    if (ids.length === 0) return;
    const rows = new Map((await findSessions(deps.db, ids)).map((row) => [row.id, row]));
    for (const id of ids) sessions.set(id, { row: rows.get(id), atMs: nowMs });
  }

  function sessionOf({ node, event }: RoomFact): SessionRow | undefined {
    const row = sessions.get(event.room)?.row;
    return row && row.state !== 'ended' && row.node_id === node.id ? row : undefined;
  }

  /** Whoever has come in may have the number of somebody before. */
  async function learnMembers(facts: readonly RoomFact[]): Promise<void> {
    const wanted = new Map<string, { session_id: string; member_id: number }>();
    for (const { event } of facts) {
      if (event.action === 'add-member') members.delete(memberKey(event.room, event.memberId));
      for (const id of [event.memberId, event.fields['New-ID']]) {
        const key = memberKey(event.room, id);
        const number = readMemberId(id);
        if (number !== undefined && !members.has(key)) wanted.set(key, { session_id: event.room, member_id: number });
      }
    }
    for (const row of await findByMembers(deps.db, [...wanted.values()]))
      members.set(memberKey(row.session_id, row.member_id), { participantId: row.id, written: '', talking: false });
  }

  const memberOf = (session: SessionRow, memberId: string | undefined): KnownMember | undefined =>
    members.get(memberKey(session.id, memberId));

  /** Who talks is told at once; all else that a member is seen to do is kept, where it is news. */
  function takeMember(session: SessionRow, event: RoomEvent, seenOf: Map<string, SeenMember>): void {
    const seen = seenInEvent(event);
    const member = seen && memberOf(session, event.memberId);
    if (!seen || !member || !event.legId || !isId(event.legId)) return;
    const talking = event.fields.Talking === 'true' && seen.muted !== true;
    if (talking !== member.talking) {
      member.talking = talking;
      deps.live.setTalking(session, member.participantId, talking);
    }
    const key = `${session.id}:${event.legId}`;
    const before = seenOf.get(key);
    const text = JSON.stringify(seen);
    if (text === (before?.text ?? member.written)) return;
    seenOf.set(key, { member, text, sessionId: session.id, legId: event.legId, seen: { ...before?.seen, ...seen } });
  }

  function takeFloor(session: SessionRow, event: RoomEvent, which: 'audio' | 'video', nudged: Set<string>): void {
    const holder = memberOf(session, event.fields['New-ID']);
    const floor: SeenFloor = { [which]: holder?.participantId ?? null };
    deps.live.setFloor(session, floor);
    const held = which === 'audio' ? session.floor_participant_id : session.video_floor_participant_id;
    if (held !== null && held !== holder?.participantId) nudged.add(session.id);
  }

  function forget(sessionId: string): void {
    sessions.delete(sessionId);
    for (const key of members.keys()) if (key.startsWith(`${sessionId}:`)) members.delete(key);
  }

  return {
    forget,
    async take(facts) {
      await learnSessions(facts);
      const owned = facts.flatMap((fact) => {
        const session = sessionOf(fact);
        return session ? [{ session, fact }] : [];
      });
      await learnMembers(owned.map(({ fact }) => fact));
      const seenOf = new Map<string, SeenMember>();
      const locked = new Map<string, boolean>();
      const nudged = new Set<string>();
      const changed = new Map<string, SessionRow>();
      const over = new Map<string, SessionRow>();
      for (const { session, fact } of owned) {
        const { event } = fact;
        switch (event.action) {
          case 'floor-change':
            takeFloor(session, event, 'audio', nudged);
            break;
          case 'video-floor-change':
            takeFloor(session, event, 'video', nudged);
            break;
          case 'lock':
          case 'unlock':
            locked.set(session.id, event.action === 'lock');
            break;
          case 'add-member':
            changed.set(session.id, session);
            nudged.add(session.id);
            break;
          case 'del-member': {
            const gone = memberOf(session, event.memberId);
            members.delete(memberKey(session.id, event.memberId));
            if (gone) deps.live.removeParticipant(session, gone.participantId);
            else changed.set(session.id, session);
            continue;
          }
          case 'conference-destroy':
            over.set(session.id, session);
            continue;
        }
        takeMember(session, event, seenOf);
      }
      await write(seenOf, locked, nudged);
      for (const session of over.values()) {
        forget(session.id);
        deps.live.forget(session);
      }
      for (const session of changed.values()) if (!over.has(session.id)) deps.live.announce(session);
      for (const id of nudged) deps.nudge(id);
    },
  };

  async function write(
    seenOf: ReadonlyMap<string, SeenMember>,
    locked: ReadonlyMap<string, boolean>,
    nudged: Set<string>,
  ): Promise<void> {
    const seen = [...seenOf.values()];
    const rows = seen.map((one) => ({ session_id: one.sessionId, leg_id: one.legId, seen: one.seen }));
    const written = await mergeSeenOf(deps.db, rows);
    for (const { member, text, sessionId, legId } of seen) {
      if (!written.has(legId)) continue;
      member.written = text;
      nudged.add(sessionId);
    }
    for (const [sessionId, isLocked] of locked) {
      await mergeSeenSession(deps.db, sessionId, { locked: isLocked });
      nudged.add(sessionId);
    }
  }
}

const memberKey = (sessionId: string, memberId: string | number | null | undefined): string =>
  `${sessionId}:${Number(memberId)}`;
