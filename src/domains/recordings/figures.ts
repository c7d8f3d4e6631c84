/** What an operator watches of recordings at night: how many are in which state, uploads that failed, and the room that is left. */
import { statfs } from 'node:fs/promises';
import { Counter, Gauge, type Registry } from 'prom-client';
import type { Queryable } from '../../infra/stores/db';
import { countRecordings, type RecordingState } from './recordings.store';

/** Several scrapers cost one reading. */
const KEPT_MS = 5000;
/** Those that are complete are many, and tell nothing. */
const STATES: readonly RecordingState[] = [
  'starting',
  'recording',
  'interrupted',
  'paused',
  'stopping',
  'uploading',
  'absent',
  'failed',
];

export interface RecordingFigures {
  countUploadFailure(): void;
}

/** @param o.folder where files arrive, and are kept where there is no S3 */
export function registerRecordingFigures(
  registry: Registry,
  o: { db: Queryable; folder: string; now: () => number },
): RecordingFigures {
  const registers = [registry];
  let readAtMs = -Infinity;
  const recordings = new Gauge({
    name: 'switchyard_recordings',
    help: 'Recordings by state, except complete and deleted ones; the same on every replica.',
    labelNames: ['state'],
    registers,
    async collect() {
      if (o.now() - readAtMs < KEPT_MS) return;
      // While the store is away they stay as they were.
      const counts = await countRecordings(o.db, STATES).catch(() => undefined);
      if (!counts) return;
      readAtMs = o.now();
      for (const state of STATES) recordings.set({ state }, counts.get(state) ?? 0);
    },
  });
  new Gauge({
    name: 'switchyard_recordings_free_bytes',
    help: "Free space on this replica's volume for recordings.",
    registers,
    async collect() {
      const disk = await statfs(o.folder).catch(() => undefined);
      if (disk) this.set(disk.bavail * disk.bsize);
    },
  });
  const failures = new Counter({
    name: 'switchyard_recording_upload_failures_total',
    help: 'Failed uploads of recordings at this replica. Each is retried.',
    registers,
  });
  return { countUploadFailure: () => failures.inc() };
}
