/** Remembers which calls crossed the pool while they could not be written down, so that their further nodes are believed later. */
import type { Redis } from '../../../infra/stores/redis';

/** Calls that crossed the pool while Postgres was away. */
export interface Handovers {
  remember(callId: string, nodeId: string): Promise<void>;
  wasMade(callId: string, nodeId: string): Promise<boolean>;
}

/** No call is longer (MAX_CALL_HOURS). */
const KEPT_SECONDS = 86_400;

/** With Redis away as well nothing is remembered: the first node's record tells how the call went. */
export function createHandovers(redis: Pick<Redis, 'set' | 'exists'>, prefix: string): Handovers {
  const keyOf = (callId: string, nodeId: string): string => `${prefix}:handover:${callId}:${nodeId}`;
  return {
    remember: async (callId, nodeId) =>
      void (await redis.set(keyOf(callId, nodeId), '1', 'EX', KEPT_SECONDS).catch(() => undefined)),
    wasMade: async (callId, nodeId) => (await redis.exists(keyOf(callId, nodeId)).catch(() => 0)) === 1,
  };
}
