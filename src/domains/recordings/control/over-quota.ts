/** Stops recordings of domains whose bytes are used up: a recording that began within its quota may run for days. */
import { stepRecording } from './reconcile';
import { changeRecording, finishRecording, type RecordingDeps } from './transition';
import { listRecordingDomains, listRunningOfDomain } from '../recordings.store';

/** Runs on every replica: a recording that is stopped twice is stopped once. */
export async function stopOverQuota(deps: RecordingDeps): Promise<void> {
  for (const domainId of await listRecordingDomains(deps.db)) {
    const refusal = await deps.quotas.peek(domainId, { recordedBytes: 1 });
    if (!refusal) continue;
    deps.quotas.refuse(domainId, refusal);
    for (const id of await listRunningOfDomain(deps.db, domainId)) {
      await changeRecording(deps, id, (held) => finishRecording(held, 'quota_exceeded', new Date(deps.now())));
      await stepRecording(deps, id).catch((error: unknown) => {
        deps.logger.warn({ err: error, recordingId: id }, 'a recording beyond its quota could not be stopped at once');
      });
    }
  }
}
