/**
 * Decides what becomes of a room that no living session explains, and of a member that no participant does: pure. Talk is
 * never ended here: only what somebody asked to end, what another node runs by now, what nobody let in, and who is alone.
 */
import type { SessionEnd } from '../sessions/sessions.store';

/** A member who hears nobody, and of whom nothing is known, is ended after this. */
export const ALONE_LIMIT_MS = 30_000;

/** Ends that somebody asked for. All others came about by themselves, and may have been read wrongly. */
const ASKED_ENDS: readonly (SessionEnd | null)[] = ['closed', 'moderator_left'];
const MOVED_ENDS: readonly (SessionEnd | null)[] = ['moved', 'node_died', 'superseded'];

/** A room as a node runs it. */
export interface RunRoom {
  /** Of the session by which the node names the room; undefined where there is no row. */
  session?: { isOver: boolean; isOfThisNode: boolean; endReason: SessionEnd | null };
  /** Its session or its room was deleted. */
  isDeleted: boolean;
  /** Another session of the same room lives on another node. */
  livesElsewhere: boolean;
}

export type RoomVerdict = 'runs' | 'adopt' | { end: 'asked' | 'twin' };

export function judgeRoom({ session, isDeleted, livesElsewhere }: RunRoom): RoomVerdict {
  if (session && !session.isOver) return session.isOfThisNode ? 'runs' : { end: 'twin' };
  if (isDeleted || ASKED_ENDS.includes(session?.endReason ?? null)) return { end: 'asked' };
  // Only a session that is known to have moved has lost its room to another: a restored backup knows neither.
  if (session && MOVED_ENDS.includes(session.endReason) && livesElsewhere) return { end: 'twin' };
  return 'adopt';
}

/** A member of a room whom no participant's row explains. */
export interface Stranger {
  /** It was answered, came by a door of ours, and no plan of ours let it in. */
  isUnadmitted: boolean;
  /** Somebody asked for its end: it was removed, or sent to another room, or its grant or user is gone. */
  isAskedOut: boolean;
  /** What it shows proves that we let this channel into this session, and as whom. */
  isProven: boolean;
  /** There is somebody else in the room. */
  talks: boolean;
  /** Since when it was seen to be alone. */
  aloneMs: number;
  /** `over`: the session's row has ended. `unknown`: there is none. */
  session: 'living' | 'over' | 'unknown';
}

export type MemberVerdict =
  | { do: 'leave' }
  | { do: 'adopt' }
  /** It talks on, and nobody knows who it is. */
  | { do: 'tell' }
  | { do: 'end'; why: 'unadmitted' | 'asked' | 'alone' };

export function judgeMember(member: Stranger): MemberVerdict {
  if (member.isUnadmitted) return { do: 'end', why: 'unadmitted' };
  if (member.isAskedOut) return { do: 'end', why: 'asked' };
  if (member.isProven && (member.talks || member.session !== 'over')) return { do: 'adopt' };
  if (member.talks) return { do: 'tell' };
  return member.aloneMs >= ALONE_LIMIT_MS ? { do: 'end', why: 'alone' } : { do: 'leave' };
}
