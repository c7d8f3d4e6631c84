/** Gives a program the clock of a machine that is wrong, by libfaketime, and changes it while the program runs. */
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const LIBRARY = 'libfaketimeMT.so.1';

/** Where distributions and its own Makefile put it; undefined where it is in none of those. */
export function fakeTimeLibrary(): string | undefined {
  const folders = ['/usr/lib', '/usr/local/lib', '/usr/lib64'].flatMap((base) => [
    join(base, 'faketime'),
    ...(existsSync(base) ? readdirSync(base) : [])
      .filter((name) => name.includes('-linux-'))
      .map((name) => join(base, name, 'faketime')),
  ]);
  return folders.map((folder) => join(folder, LIBRARY)).find((file) => existsSync(file));
}

export interface WrongClock {
  /** For the program. Its monotonic clock stays right, as that of a machine whose time is set. */
  readonly environment: Record<string, string>;
  /** Seconds ahead; negative: behind. */
  set(seconds: number): void;
  remove(): void;
}

export function createWrongClock(library: string, seconds: number): WrongClock {
  const folder = mkdtempSync(join(tmpdir(), 'wrong-clock-'));
  chmodSync(folder, 0o755); // the program may run as another user
  const file = join(folder, 'offset');
  const set = (ahead: number): void => writeFileSync(file, `${ahead < 0 ? '' : '+'}${ahead}\n`, { mode: 0o644 });
  set(seconds);
  return {
    environment: {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      DONT_FAKE_MONOTONIC: '1',
    },
    set,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
