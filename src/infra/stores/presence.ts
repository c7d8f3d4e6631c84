/** Which roles somebody has: each replica says so in Redis while it lives, and the rest can tell that nobody dials or follows nodes. */
import type { Logger } from '../logger';
import type { Redis } from './redis';
import { runEvery, type Interval } from '../flow/interval';

const SAID_EVERY_MS = 2000;
/** A busy machine is late. */
const BELIEVED_MS = 10_000;

const keyOf = (prefix: string, role: string): string => `${prefix}:here:${role}`;

/** Says so at once, and until it is stopped; what was said last runs out by itself. */
export function sayPresence(o: { redis: Redis; prefix: string; roles: readonly string[]; logger: Logger }): Interval {
  const say = async (): Promise<void> => {
    if (o.redis.status !== 'ready') return;
    const said = o.roles.map((role) => o.redis.set(keyOf(o.prefix, role), '1', 'PX', BELIEVED_MS));
    await Promise.all(said).catch(() => undefined); // readiness says that Redis takes nothing
  };
  void say();
  return runEvery('presence', SAID_EVERY_MS, o.logger, say);
}

/** @returns the roles of these that nobody has; undefined while Redis can't be asked */
export async function findMissingRoles<R extends string>(
  redis: Redis,
  prefix: string,
  roles: readonly R[],
): Promise<R[] | undefined> {
  try {
    const found = await redis.mget(roles.map((role) => keyOf(prefix, role)));
    return roles.filter((_, i) => found[i] === null);
  } catch {
    return undefined;
  }
}
