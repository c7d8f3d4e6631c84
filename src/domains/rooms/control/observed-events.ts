/** Takes in what a node reports of those in a room: what was desired and is done now, who talks, who has the floor. */
import { isId } from '../../../infra/ids';
import type { RoomEvent } from '../../../freeswitch/esl';
import type { Db } from '../../../infra/stores/db';
import type { Logger } from '../../../infra/logger';
import { storeClock } from '../../../infra/store-clock';
import type { NodeRow } from '../../nodes/nodes.store';
import type { LiveBoard } from '../live/live-state';
import { findSession, type SessionRow } from '../sessions/sessions.store';
import { findByMember, mergeSeen, mergeSeenSession } from './control.store';
import type { SeenFloor, SeenParticipant } from './desired-state';

export interface LiveEventDeps {
  db: Db;
  logger: Logger;
  live: LiveBoard;
  /** Something was seen that may differ from what is desired: look at the session soon. */
  nudge: (sessionId: string) => void;
}

export interface LiveEvents {
  take(node: NodeRow, event: RoomEvent): Promise<void>;
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

export function createLiveEvents(deps: LiveEventDeps): LiveEvents {
  const sessions = new Map<string, { row: SessionRow | undefined; atMs: number }>();
  /** `session:member` → who that is. */
  const members = new Map<string, KnownMember>();

  async function sessionOf(node: NodeRow, event: RoomEvent): Promise<SessionRow | undefined> {
    if (!isId(event.room)) return undefined;
    const known = sessions.get(event.room);
    const row =
      known && storeClock.nowMs() - known.atMs < SESSION_KNOWN_MS ? known.row : await findSession(deps.db, event.room);
    if (row !== known?.row) sessions.set(event.room, { row, atMs: storeClock.nowMs() });
    return row && row.state !== 'ended' && row.node_id === node.id ? row : undefined;
  }

  async function memberOf(session: SessionRow, memberId: string | undefined): Promise<KnownMember | undefined> {
    const number = Number(memberId);
    if (!(number > 0)) return undefined;
    const key = `${session.id}:${number}`;
    const known = members.get(key);
    if (known) return known;
    const row = await findByMember(deps.db, session.id, number);
    if (!row) return undefined;
    const member = { participantId: row.id, written: '', talking: false };
    members.set(key, member);
    return member;
  }

  async function takeMember(session: SessionRow, event: RoomEvent): Promise<void> {
    const seen = seenInEvent(event);
    const member = seen && (await memberOf(session, event.memberId));
    if (!seen || !member || !event.legId || !isId(event.legId)) return;
    const talking = event.fields.Talking === 'true' && seen.muted !== true;
    if (talking !== member.talking) {
      member.talking = talking;
      deps.live.setTalking(session, member.participantId, talking);
    }
    const text = JSON.stringify(seen);
    if (text === member.written) return;
    if (!(await mergeSeen(deps.db, session.id, event.legId, seen))) return;
    member.written = text;
    deps.nudge(session.id);
  }

  async function takeFloor(session: SessionRow, event: RoomEvent, which: 'audio' | 'video'): Promise<void> {
    const holder = await memberOf(session, event.fields['New-ID']);
    const floor: SeenFloor = { [which]: holder?.participantId ?? null };
    deps.live.setFloor(session, floor);
    const held = which === 'audio' ? session.floor_participant_id : session.video_floor_participant_id;
    if (held !== null && held !== holder?.participantId) deps.nudge(session.id);
  }

  function forget(sessionId: string): void {
    sessions.delete(sessionId);
    for (const key of members.keys()) if (key.startsWith(`${sessionId}:`)) members.delete(key);
  }

  return {
    forget,
    async take(node, event) {
      const session = await sessionOf(node, event);
      if (!session) return;
      switch (event.action) {
        case 'floor-change':
          await takeFloor(session, event, 'audio');
          break;
        case 'video-floor-change':
          await takeFloor(session, event, 'video');
          break;
        case 'lock':
        case 'unlock':
          await mergeSeenSession(deps.db, session.id, { locked: event.action === 'lock' });
          deps.nudge(session.id);
          break;
        case 'add-member':
          members.delete(`${session.id}:${Number(event.memberId)}`);
          await takeMember(session, event);
          deps.live.announce(session);
          deps.nudge(session.id);
          return;
        case 'del-member': {
          const gone = members.get(`${session.id}:${Number(event.memberId)}`);
          members.delete(`${session.id}:${Number(event.memberId)}`);
          if (gone) deps.live.removeParticipant(session, gone.participantId);
          else deps.live.announce(session);
          return;
        }
        case 'conference-destroy':
          forget(session.id);
          deps.live.forget(session);
          return;
      }
      await takeMember(session, event);
    },
  };
}
