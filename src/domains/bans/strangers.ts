/** Stands before the API: an address that shows key after key that nobody has is told to wait, and looked up no more. */
import { LRUCache } from 'lru-cache';
import { countedAddress } from './addresses';
import { startBan, type BansDeps } from './bans';
import { decideAfterApiFailure, GOOD_MS, LOGIN_WINDOW_MS } from './levels';
import { addressKey } from './logins';
import type { Tally } from './tally';

export interface StrangerGuard {
  /** @returns how long the address has to wait; 0 where it need not */
  waitMs(address: string | undefined): number;
  /** A key or a grant's token that nobody has. */
  recordFailure(o: { kind: 'api'; address: string | undefined }): void;
  recordSuccess(address: string | undefined, callerId: string): void;
}

const NOTED_MS = GOOD_MS / 24;
const MOST_NOTED = 10_000;

export function createStrangerGuard(
  deps: BansDeps & {
    tally: Tally;
    isNever: (address: string) => boolean;
    countFailure: (kind: 'api') => void;
    now: () => number;
    createMark: () => string;
  },
): StrangerGuard {
  const { refusals, tally, logger } = deps;
  const noted = new LRUCache<string, number>({ max: MOST_NOTED });

  async function count(address: string): Promise<void> {
    const [[failures = 0], good] = await Promise.all([
      tally.count([{ key: `api:${address}`, member: deps.createMark() }], LOGIN_WINDOW_MS),
      tally.check(`api-good:${address}`, '', GOOD_MS),
    ]);
    if (decideAfterApiFailure(failures, good.size, deps.isNever(address)).do !== 'ban') return;
    const key = addressKey('api', address);
    await startBan(deps, { kind: 'address', key, door: 'api', address, reason: 'unknown_keys', failures });
    await tally.forget([`api:${address}`]);
  }

  return {
    waitMs(address) {
      if (refusals.isEmpty) return 0;
      const refusal = refusals.find(addressKey('api', countedAddress(address)));
      return refusal ? Math.max(1, refusal.untilMs - deps.now()) : 0;
    },
    recordFailure({ kind, address }) {
      deps.countFailure(kind);
      count(countedAddress(address)).catch((error: unknown) =>
        logger.error({ err: error }, 'a key that nobody has was not counted'),
      );
    },
    recordSuccess(from, callerId) {
      const address = countedAddress(from);
      const key = `${address}|${callerId}`;
      const atMs = noted.get(key);
      if (atMs !== undefined && deps.now() - atMs < NOTED_MS) return;
      noted.set(key, deps.now());
      void tally.note({ key: `api-good:${address}`, member: callerId }, GOOD_MS);
    },
  };
}
