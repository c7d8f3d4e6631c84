/** Waits for what is to come about, since a sleep is either too long or too short. */
import { setTimeout as sleep } from 'node:timers/promises';

/** Guards against waiting for ever, and claims nothing: a build machine may be many times slower than ours, and busy. */
const HANGS_MS = 90_000;

/** Asked more rarely what takes long: many who ask at once must not be the load that makes it last. */
const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 250;

/** Asks again until the answer is truthy. @throws when the time is over, with what was waited for. */
export async function until<T>(
  what: string | (() => string),
  ask: () => Promise<T> | T,
  timeoutMs = HANGS_MS,
): Promise<NonNullable<T>> {
  const deadline = Date.now() + timeoutMs;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(LONGEST_PAUSE_MS, 1.25 * pauseMs)) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > deadline) {
      throw new Error(`it did not come about in ${timeoutMs} ms: ${typeof what === 'string' ? what : what()}`);
    }
    await sleep(pauseMs);
  }
}
