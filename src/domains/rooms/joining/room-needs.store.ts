/** The SQL of what is wanted of a room's node beside the room itself. */
import type { Queryable } from '../../../infra/stores/db';

/** Formats of recordings of the room that are to go on, and whether streams of it are to be sent. */
export async function readRoomNeeds(
  db: Queryable,
  roomId: string,
): Promise<{ formats: ('mp4' | 'wav')[]; hasRelays: boolean }> {
  const [formats, relay] = (await Promise.all([
    db('recordings').where({ room_id: roomId }).whereNot('desired', 'stopped').distinct().pluck('format'),
    db('relays').where({ room_id: roomId, desired: 'live' }).whereNull('ended_at').first('id'),
  ])) as [('mp4' | 'wav')[], { id: string } | undefined];
  return { formats, hasRelays: relay !== undefined };
}
