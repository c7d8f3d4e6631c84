/** Makes a wav say how long it is, where its writer was killed before it could: players believe the head. */
import { open } from 'node:fs/promises';

/** A length past 4 GB is said as "until the end". */
const MOST_BYTES = 0xffffffff;
const RIFF_SIZE_AT = 4;
/** Before the sound: the four letters `data` and its length. */
const SIZE_BYTES = 4;

/** @returns whether anything had to be changed; the size of the file stays */
export async function mendWav(path: string, wav: { dataFrom: number; dataBytes: number }): Promise<boolean> {
  const file = await open(path, 'r+');
  try {
    const { size } = await file.stat();
    const wanted: [at: number, length: number][] = [
      [RIFF_SIZE_AT, Math.min(MOST_BYTES, size - RIFF_SIZE_AT - SIZE_BYTES)],
      [wav.dataFrom - SIZE_BYTES, Math.min(MOST_BYTES, wav.dataBytes)],
    ];
    let isMended = false;
    for (const [at, length] of wanted) {
      const said = Buffer.alloc(SIZE_BYTES);
      await file.read(said, 0, SIZE_BYTES, at);
      if (said.readUInt32LE() === length) continue;
      said.writeUInt32LE(length);
      await file.write(said, 0, SIZE_BYTES, at);
      isMended = true;
    }
    return isMended;
  } finally {
    await file.close();
  }
}
