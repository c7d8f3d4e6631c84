/** Writes why somebody is about to leave a room, before their channel is ended: its end doesn't say it. */
import type { Queryable } from '../../../infra/stores/db';
import type { LeaveReason } from './leave-reasons';

/** Whose stay ends. */
export type Leavers = { callId: string } | { userId: string } | { grantId: string };

const COLUMNS = { callId: 'call_id', userId: 'user_id', grantId: 'grant_id' } as const;

/** For those who are in, or on the way in. @returns who they are */
export async function noteLeaveReason(db: Queryable, who: Leavers, reason: LeaveReason): Promise<string[]> {
  const [[key, id]] = Object.entries(who) as [[keyof typeof COLUMNS, string]];
  const rows = (await db('participants')
    .where({ [COLUMNS[key]]: id })
    .whereIn('state', ['joining', 'in'])
    .update({ leave_reason: reason })
    .returning('id')) as { id: string }[];
  return rows.map((row) => row.id);
}

/** For those who end calls and know nothing of rooms. */
export interface RoomEndings {
  noteLeaveReason: typeof noteLeaveReason;
}
