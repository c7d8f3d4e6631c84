/** Knows where users' phones were last seen, for the time in which Postgres is away. */
import { LRUCache } from 'lru-cache';
import { isUnreachable, type Db } from '../../../infra/stores/db';
import { findRegistrationsOfUsers, type NamedRegistration } from '../../registrations/registrations.store';

export interface RememberedPhones {
  /** As Postgres has them now, and while it is away as they were. @throws where they were never asked for */
  read(userId: string): Promise<NamedRegistration[]>;
}

/** The longest unasked go first. */
const REMEMBERED_USERS = 50_000;

export function createRememberedPhones(db: Db): RememberedPhones {
  const lastSeen = new LRUCache<string, NamedRegistration[]>({ max: REMEMBERED_USERS });
  return {
    async read(userId) {
      try {
        const rows = await findRegistrationsOfUsers(db, [userId]);
        lastSeen.set(userId, rows);
        return rows;
      } catch (error) {
        const known = lastSeen.get(userId);
        if (!known || !isUnreachable(error)) throw error;
        return known;
      }
    },
  };
}
