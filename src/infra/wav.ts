/** Reads and writes WAV files (RIFF): also those whose writer was killed, or writes still, and said no length. */

/** Reads up to `length` bytes from a place in a file; fewer at its end. */
export type ReadAt = (at: number, length: number) => Promise<Buffer>;

/** What a file needs to be joined to others of its kind: the body of its format chunk, and where its sound is. */
export interface WavLayout {
  format: Buffer;
  dataFrom: number;
  dataBytes: number;
}

export interface Sound {
  /** Samples a second. */
  rate: number;
  /** From -1 to 1. */
  samples: Float32Array;
}

const RIFF_BYTES = 12;
const CHUNK_HEAD_BYTES = 8;
const LEAST_FORMAT_BYTES = 16;
const MOST_FORMAT_BYTES = 4096;
/** FreeSWITCH writes a handful. Each is a read of its own: a gigabyte of empty ones would be read for half an hour. */
const MOST_CHUNKS = 500;
/** A length past 4 GB is said as "until the end". */
const MOST_BYTES = 0xffffffff;

/** Walks the chunks: 4 letters, 4 bytes of length, a body. @returns undefined where it has no sound or no format */
export async function readWavLayout(read: ReadAt, size: number): Promise<WavLayout | undefined> {
  const head = await read(0, RIFF_BYTES);
  if (head.toString('latin1', 0, 4) !== 'RIFF' || head.toString('latin1', 8, 12) !== 'WAVE') return undefined;
  let format: Buffer | undefined;
  for (let at = RIFF_BYTES, chunks = 0; at + CHUNK_HEAD_BYTES <= size && chunks < MOST_CHUNKS; chunks += 1) {
    const chunk = await read(at, CHUNK_HEAD_BYTES);
    const name = chunk.toString('latin1', 0, 4);
    const length = chunk.readUInt32LE(4);
    const bodyAt = at + CHUNK_HEAD_BYTES;
    if (name === 'fmt ' && length >= LEAST_FORMAT_BYTES && length <= MOST_FORMAT_BYTES) {
      format = await read(bodyAt, length);
    }
    if (name === 'data') {
      const rest = size - bodyAt;
      const dataBytes = length === 0 || length > rest ? rest : length;
      return format && format.length >= LEAST_FORMAT_BYTES ? { format, dataFrom: bodyAt, dataBytes } : undefined;
    }
    at = bodyAt + length + (length % 2);
  }
  return undefined;
}

export const wavBytesPerSecond = ({ format }: Pick<WavLayout, 'format'>): number => format.readUInt32LE(8);

/** Takes one channel of 16-bit PCM. @param channel counted from 0; the last where the file has fewer */
export async function readPcm(file: Buffer, channel = 0): Promise<Sound | undefined> {
  const read: ReadAt = (at, length) => Promise.resolve(file.subarray(at, at + length));
  const layout = await readWavLayout(read, file.length);
  if (!layout || layout.format.readUInt16LE(14) !== 16) return undefined;
  const channels = layout.format.readUInt16LE(2);
  const rate = layout.format.readUInt32LE(4);
  if (channels < 1 || rate < 1) return undefined;
  const data = file.subarray(layout.dataFrom, layout.dataFrom + layout.dataBytes);
  const wanted = Math.min(channel, channels - 1);
  const samples = new Float32Array(Math.floor(data.length / (2 * channels)));
  for (let i = 0; i < samples.length; i += 1) samples[i] = data.readInt16LE(2 * (i * channels + wanted)) / 32768;
  return { rate, samples };
}

/** The body of a format chunk for 16-bit PCM. @internal */
export function pcmFormat(rate: number, channels: number): Buffer {
  const format = Buffer.alloc(LEAST_FORMAT_BYTES);
  format.writeUInt16LE(1, 0);
  format.writeUInt16LE(channels, 2);
  format.writeUInt32LE(rate, 4);
  format.writeUInt32LE(rate * channels * 2, 8);
  format.writeUInt16LE(channels * 2, 12);
  format.writeUInt16LE(16, 14);
  return format;
}

/** The head of a file that holds this much sound. */
export function wavHeader(format: Buffer, dataBytes: number): Buffer {
  const header = Buffer.alloc(RIFF_BYTES + 2 * CHUNK_HEAD_BYTES + format.length);
  header.write('RIFF', 0, 'latin1');
  header.writeUInt32LE(Math.min(MOST_BYTES, header.length - CHUNK_HEAD_BYTES + dataBytes), 4);
  header.write('WAVEfmt ', 8, 'latin1');
  header.writeUInt32LE(format.length, 16);
  format.copy(header, 20);
  header.write('data', 20 + format.length, 'latin1');
  header.writeUInt32LE(Math.min(MOST_BYTES, dataBytes), 24 + format.length);
  return header;
}

/** The two lengths a file of `size` bytes has to say, each with its place. */
export const wavLengths = (size: number, layout: Omit<WavLayout, 'format'>): { at: number; length: number }[] => [
  { at: 4, length: Math.min(MOST_BYTES, size - CHUNK_HEAD_BYTES) },
  { at: layout.dataFrom - 4, length: Math.min(MOST_BYTES, layout.dataBytes) },
];
