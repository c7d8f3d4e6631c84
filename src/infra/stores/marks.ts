/** Marks that all replicas see for a while: "this was so a moment ago". While Redis is away nothing is marked. */
import type { Redis } from './redis';

export interface SharedMarks {
  has(name: string): Promise<boolean>;
  set(name: string, keptMs: number): Promise<void>;
  remove(name: string): Promise<void>;
}

export function createSharedMarks(redis: Redis, prefix: string): SharedMarks {
  const ignore = (): void => undefined;
  const keyOf = (name: string): string => `${prefix}:mark:${name}`;
  return {
    has: (name) =>
      redis.exists(keyOf(name)).then(
        (count) => count === 1,
        () => false,
      ),
    set: (name, keptMs) => redis.set(keyOf(name), '1', 'PX', keptMs).then(ignore, ignore),
    remove: (name) => redis.del(keyOf(name)).then(ignore, ignore),
  };
}
