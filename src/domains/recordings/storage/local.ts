/** Keeps recordings in a folder; several replicas need the same one. */
import { createReadStream, mkdirSync } from 'node:fs';
import { chmod, mkdir, open, rename, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { SwitchyardError } from '../../../errors';
import type { RecordingStorage } from './storage';

const KEY = /^[0-9a-f-]{36}\/[0-9a-f-]{36}\.(mp4|wav)$/;

/** @param folder made where it is missing; only its owner can read it */
export function createLocalStorage(folder: string): RecordingStorage {
  const arrivals = join(folder, 'arriving');
  mkdirSync(arrivals, { recursive: true, mode: 0o700 });
  const pathOf = (key: string): string => {
    if (!KEY.test(key)) throw new SwitchyardError('invalid_request', 'Not a storage key of a recording.');
    return join(folder, key);
  };
  return {
    kind: 'local',
    arrivals,
    async keep(key, file) {
      const path = pathOf(key);
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await chmod(file, 0o600);
      await sync(file);
      await rename(file, path);
      await sync(dirname(path));
    },
    async open(key, range) {
      const path = pathOf(key);
      await stat(path).catch((cause: unknown) => {
        throw new SwitchyardError('not_found', 'The file is not in storage.', { cause });
      });
      return createReadStream(path, { start: range.from, end: range.to });
    },
    async remove(key) {
      await rm(pathOf(key), { force: true });
      await rmdir(dirname(pathOf(key))).catch(() => undefined); // the other parts are still in it
    },
  };
}

/** So that a file we have told the node to forget outlives a power cut. */
async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
