/** Says where the project lies, which is another depth under dist/ than in the source tree. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The folder with package.json. */
export function projectRoot(): string {
  let folder = __dirname;
  while (!existsSync(join(folder, 'package.json'))) {
    const above = dirname(folder);
    if (above === folder) throw new Error('package.json was not found above the scripts.');
    folder = above;
  }
  return folder;
}

/** What a person can correct: printed as it stands, without a stack. */
export class StartFault extends Error {
  override name = 'StartFault';
}
