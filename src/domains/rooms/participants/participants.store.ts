/** The SQL of participants: what is desired for each, and what its node was seen to do. */
import type { Queryable } from '../../../infra/stores/db';

export type ParticipantState = 'joining' | 'in' | 'away' | 'left';
export type ParticipantRole = 'moderator' | 'participant';
export type ParticipantKind = 'grant' | 'user' | 'number';

/** What the node was last seen to do with a member; left out: not known yet. */
export interface ParticipantObserved {
  muted?: boolean;
  videoMuted?: boolean;
  deaf?: boolean;
  hasVideo?: boolean;
  moderator?: boolean;
}

/** Somebody in a room. The row stays theirs when they come back, or when the room moves to another node. */
export interface ParticipantRow {
  id: string;
  room_id: string;
  session_id: string;
  meeting_id: string;
  domain_id: string;
  call_id: string | null;
  /** The channel on the session's node; of one who came over another node, the channel between the nodes. */
  leg_id: string | null;
  member_id: number | null;
  /** Who it is, whatever the channel: `user:1001`, `grant:<id>` or a grant's own identity, `number:+49…`. */
  identity: string;
  kind: ParticipantKind;
  grant_id: string | null;
  user_id: string | null;
  name: string;
  role: ParticipantRole;
  /** `away`: the session ended under it, and it is awaited in the next one. */
  state: ParticipantState;
  created_at: Date;
  /** When they were last let in. */
  entering_at: Date;
  joined_at: Date | null;
  left_at: Date | null;
  leave_reason: string | null;
  muted: boolean;
  video_muted: boolean;
  deaf: boolean;
  volume_in: number;
  volume_out: number;
  layer: number | null;
  reservation: string | null;
  banner: string | null;
  max_video_kbps: number | null;
  hand_raised_at: Date | null;
  observed: ParticipantObserved;
  quality: Record<string, unknown> | null;
}

const json = (change: Partial<ParticipantRow>) => ({
  ...change,
  ...(change.observed ? { observed: JSON.stringify(change.observed) } : {}),
  ...(change.quality ? { quality: JSON.stringify(change.quality) } : {}),
});

export async function insertParticipant(
  db: Queryable,
  row: Partial<ParticipantRow> & { id: string },
): Promise<ParticipantRow> {
  const rows = (await db('participants').insert(json(row)).returning('*')) as ParticipantRow[];
  return rows[0]!;
}

export async function findParticipant(db: Queryable, id: string): Promise<ParticipantRow | undefined> {
  return (await db('participants').where({ id }).first()) as ParticipantRow | undefined;
}

export async function findParticipantOfLeg(db: Queryable, legId: string): Promise<ParticipantRow | undefined> {
  return (await db('participants').where({ leg_id: legId }).first()) as ParticipantRow | undefined;
}

/** One who was in this meeting under the same name and is not in it now; the last to leave first. */
export async function findAbsent(
  db: Queryable,
  meetingId: string,
  identity: string,
): Promise<ParticipantRow | undefined> {
  return (await db('participants')
    .where({ meeting_id: meetingId, identity })
    .whereIn('state', ['left', 'away'])
    .orderByRaw('left_at desc nulls last')
    .first()) as ParticipantRow | undefined;
}

/** In the order of their coming; `states` left out: those who are joining or in. */
export async function listParticipants(
  db: Queryable,
  sessionId: string,
  states: readonly ParticipantState[] = ['joining', 'in'],
): Promise<ParticipantRow[]> {
  return (await db('participants')
    .where({ session_id: sessionId })
    .whereIn('state', states)
    .orderBy('id')) as ParticipantRow[];
}

/** Whether everybody has left: its node is about to end the room, and says so last. */
export async function isDeserted(db: Queryable, sessionId: string): Promise<boolean> {
  const people = (await db('participants')
    .where({ session_id: sessionId })
    .groupByRaw(`state = 'left'`)
    .select({ haveLeft: db.raw(`state = 'left'`) })) as { haveLeft: boolean }[];
  return people.length > 0 && people.every(({ haveLeft }) => haveLeft);
}

/** @returns the row as it is now, or undefined where it was in none of `expected`. */
export async function updateParticipant(
  db: Queryable,
  id: string,
  expected: readonly ParticipantState[],
  change: Partial<ParticipantRow>,
): Promise<ParticipantRow | undefined> {
  const rows = (await db('participants')
    .where({ id })
    .whereIn('state', expected)
    .update(json(change))
    .returning('*')) as ParticipantRow[];
  return rows[0];
}

/** Gives up the places of those who did not follow their room. */
export async function forgetAway(db: Queryable, before: Date): Promise<number> {
  return db('participants').where({ state: 'away' }).where('left_at', '<', before).update({ state: 'left' });
}
