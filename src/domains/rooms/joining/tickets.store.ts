/** The SQL of tickets into rooms: taken by one conditional update, so that no two channels come in with one. */
import type { Queryable } from '../../../infra/stores/db';

export interface TicketRow {
  hash: string;
  participant_id: string;
  room_id: string;
  leg_id: string;
  node_id: string;
  expires_at: Date;
  used_at: Date | null;
}

export async function insertTicket(db: Queryable, row: Omit<TicketRow, 'used_at'>): Promise<void> {
  await db('room_tickets').insert(row);
}

/** @returns the ticket, with `used_at` as it was before, where it is this channel's and was not used before `usedAfter` */
export async function redeemTicketRow(
  db: Queryable,
  o: { hash: string; legId: string; nodeId: string; now: Date; usedAfter: Date },
): Promise<(TicketRow & { was_used: boolean }) | undefined> {
  const result = await db.raw<{ rows: (TicketRow & { was_used: boolean })[] }>(
    `update room_tickets t set used_at = coalesce(t.used_at, :now)
     from (select hash, used_at is not null as was_used from room_tickets where hash = :hash for update) before
     where t.hash = before.hash and t.leg_id = :legId and t.node_id = :nodeId and t.expires_at > :now
       and (t.used_at is null or t.used_at > :usedAfter)
     returning t.*, before.was_used`,
    o,
  );
  return result.rows[0];
}

export async function deleteExpiredTickets(db: Queryable, before: Date): Promise<number> {
  return db('room_tickets').where('expires_at', '<', before).delete();
}
