/** Makes a wav say how long it is, where its writer was killed before it could: players believe the head. */
import { open } from 'node:fs/promises';
import { wavLengths, type WavLayout } from '../../../infra/wav';

/** @returns whether anything had to be changed; the size of the file stays */
export async function mendWav(path: string, wav: Omit<WavLayout, 'format'>): Promise<boolean> {
  const file = await open(path, 'r+');
  try {
    const { size } = await file.stat();
    let isMended = false;
    for (const { at, length } of wavLengths(size, wav)) {
      const said = Buffer.alloc(4);
      await file.read(said, 0, said.length, at);
      if (said.readUInt32LE() === length) continue;
      said.writeUInt32LE(length);
      await file.write(said, 0, said.length, at);
      isMended = true;
    }
    return isMended;
  } finally {
    await file.close();
  }
}
