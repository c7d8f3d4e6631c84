/** Says where the project lies, which is another depth under dist/ than in the source tree. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The folder with package.json. @throws Error where none is above: it is part of the source tree and of the image */
export function projectRoot(): string {
  let folder = __dirname;
  while (!existsSync(join(folder, 'package.json'))) {
    const above = dirname(folder);
    if (above === folder) throw new Error('package.json was not found above the program.');
    folder = above;
  }
  return folder;
}

/** Switchyard's version, as package.json has it: a second place would be wrong after the next release. @returns e.g. "0.5.0" */
export const readVersion = (): string =>
  (JSON.parse(readFileSync(join(projectRoot(), 'package.json'), 'utf8')) as { version: string }).version;
