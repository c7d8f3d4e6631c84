/** The room a request names: one check for everybody who asks for a room by its id. */
import { SwitchyardError } from '../../errors';
import type { Caller } from '../../infra/route';
import type { Queryable } from '../../infra/stores/db';
import { mayUseDomain } from '../domains/domains';
import { findRoom, type RoomRow } from './rooms.store';

/** @throws SwitchyardError not_found, also where the room is of a domain the caller may not know of */
export async function requireRoom(db: Queryable, caller: Caller, id: string): Promise<RoomRow> {
  const room = await findRoom(db, id);
  if (!room || !mayUseDomain(caller, room.domain_id)) throw new SwitchyardError('not_found', 'No such room.');
  return room;
}
