/** Counts whose digest hashes each node was given: one that collects them asks for far more people than it has phones and calls. */
import type { Logger } from '../../../infra/logger';
import { runEvery, type Interval } from '../../../infra/flow/interval';
import type { EventLog } from '../../events/events';
import { POOL_STREAM } from '../../events/events.store';
import type { Db } from '../../../infra/stores/db';
import { storeClock } from '../../../infra/store-clock';
import { countPhonesAndLegs } from './asked-users.store';

export interface AskedUsers extends Interval {
  /** A node was given the hash of this user or grant. */
  note(node: { id: string; name: string }, username: string, domain: string): void;
}

/** Long enough for every phone of a node that was started again to register. */
const WINDOW_MS = 300_000;
/** A node is asked by strangers too, who try names: so many are no sign. */
const LEAST_USERS = 200;
/** Phones that register and ring, and some that go again. */
const USERS_FOR_EACH = 3;
/** Of one node; past this it is suspicious anyhow. */
const MOST_REMEMBERED = 100_000;

/** Whether so many different users are more than the phones and calls of the node explain. */
export const isTooMany = (o: { users: number; phones: number; legs: number }): boolean =>
  o.users > LEAST_USERS + USERS_FOR_EACH * (o.phones + o.legs);

export interface AskedUsersDeps {
  db: Db;
  log: EventLog;
  logger: Logger;
  /** Told of each node that was found to ask for too many. */
  count?: () => void;
  windowMs?: number;
}

/** Each replica counts what it has answered itself, so with many of them each sees a share. */
export function watchAskedUsers(deps: AskedUsersDeps): AskedUsers {
  let asked = new Map<string, { name: string; users: Set<string> }>();
  let sinceMs = storeClock.nowMs();

  async function check(): Promise<void> {
    const [seen, from] = [asked, new Date(sinceMs)];
    asked = new Map();
    sinceMs = storeClock.nowMs();
    for (const [nodeId, { name, users }] of seen) {
      if (users.size <= LEAST_USERS) continue;
      const has = { users: users.size, ...(await countPhonesAndLegs(deps.db, nodeId, from)) };
      if (!isTooMany(has)) continue;
      deps.count?.();
      deps.logger.warn({ node: name, ...has }, 'a node asks for far more users than it has phones and calls');
      await deps.log.record((_trx, emit) => {
        const seconds = Math.round((sinceMs - from.getTime()) / 1000);
        emit({ stream: POOL_STREAM, type: 'node.suspicious', nodeId, data: { name, ...has, seconds } });
        return Promise.resolve();
      });
    }
  }
  const schedule = runEvery('users that nodes asked for', deps.windowMs ?? WINDOW_MS, deps.logger, check);
  return {
    note(node, username, domain) {
      let entry = asked.get(node.id);
      if (!entry) asked.set(node.id, (entry = { name: node.name, users: new Set() }));
      if (entry.users.size < MOST_REMEMBERED) entry.users.add(`${username}@${domain}`);
    },
    stop: () => schedule.stop(),
  };
}
