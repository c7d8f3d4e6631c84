/** Removes what is past its time, and files whose rows are gone: a deleted recording must not stay in a store. */
import type { RecordingDeps } from './control/transition';
import { removeRecording } from './recordings';
import { deleteLeftover, listExpired, takeLeftovers } from './recordings.store';

const AT_ONCE = 100;
const NEXT_TRY_MS = 10 * 60_000;

export async function expireRecordings(deps: RecordingDeps): Promise<void> {
  const now = new Date(deps.now());
  for (const id of await listExpired(deps.db, now, AT_ONCE)) {
    await removeRecording(deps, id, 'expired').catch((error: unknown) => {
      deps.logger.warn({ err: error, recordingId: id }, 'a recording past its time is still there');
    });
  }
  const until = new Date(now.getTime() + NEXT_TRY_MS);
  for (const leftover of await takeLeftovers(deps.db, now, until, AT_ONCE)) {
    await deps.storage.remove(leftover.storage_key);
    await deleteLeftover(deps.db, leftover.id);
  }
}
