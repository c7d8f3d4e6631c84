/** Switchyard's version, as package.json has it: a second place would be wrong after the next release. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** @returns e.g. "0.5.0" @throws Error if no package.json is in a folder above: it is part of the source tree and of the image */
export function readVersion(): string {
  let folder = __dirname;
  while (!existsSync(join(folder, 'package.json'))) {
    if (dirname(folder) === folder) throw new Error('package.json was not found above the program.');
    folder = dirname(folder);
  }
  return (JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string }).version;
}
