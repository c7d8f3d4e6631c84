/** Where recordings are kept once they have left their node: a folder, or an S3-compatible store. */
import type { Readable } from 'node:stream';

/** Bytes `from` to `to`, both included, as in HTTP. */
export interface ByteRange {
  from: number;
  to: number;
}

export interface RecordingStorage {
  readonly kind: 'local' | 's3';
  /** A folder of this machine, in which files arrive before they are kept. */
  readonly arrivals: string;
  /** Takes over a file of `arrivals` under a key; whole or not at all, and again without harm. */
  keep(key: string, file: string, facts: { bytes: number; sha256: string; type: string }): Promise<void>;
  /** @throws not_found where there is nothing under the key */
  open(key: string, range: ByteRange): Promise<Readable>;
  /** Nothing there is no fault. */
  remove(key: string): Promise<void>;
}

export const CONTENT_TYPES = { mp4: 'video/mp4', wav: 'audio/wav' } as const;
