/** Starts the stores once for a whole run of jest, where the runner has not named any. */
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startStores, type Stores } from '../scripts/stores/stores';

/** What the teardown finds again: jest runs both in one process. */
export interface SharedStores {
  stores: Stores;
  stateDir: string;
}

// eslint-disable-next-line no-restricted-exports -- jest calls the default export
export default async function setup(): Promise<void> {
  const { DATABASE_URL: databaseUrl, REDIS_URL: redisUrl } = process.env;
  if (databaseUrl && redisUrl) return;
  const stateDir = mkdtempSync(join(tmpdir(), 'switchyard-test-'));
  chmodSync(stateDir, 0o711);
  const stores = await startStores({
    stateDir,
    password: randomBytes(12).toString('hex'),
    databaseUrl,
    redisUrl,
    ephemeral: true,
    report: (line) => process.stderr.write(`${line}\n`),
  });
  process.env.DATABASE_URL = stores.databaseUrl;
  process.env.REDIS_URL = stores.redisUrl;
  (globalThis as { sharedStores?: SharedStores }).sharedStores = { stores, stateDir };
}
