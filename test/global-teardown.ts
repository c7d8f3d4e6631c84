/** Stops what the setup started, and leaves nothing on the disk. */
import { rmSync } from 'node:fs';
import type { SharedStores } from './global-setup';

// eslint-disable-next-line no-restricted-exports -- jest calls the default export
export default async function teardown(): Promise<void> {
  const shared = (globalThis as { sharedStores?: SharedStores }).sharedStores;
  if (!shared) return;
  await shared.stores.stop();
  rmSync(shared.stateDir, { recursive: true, force: true });
}
