/** Reads a PNG as strictly as a media server should never have to: what passes here holds nothing else than a picture. */
import { crc32, inflateSync } from 'node:zlib';
import { SwitchyardError } from '../../errors';

export interface PngFacts {
  width: number;
  height: number;
  /** Some of it can be seen through. */
  hasAlpha: boolean;
}

/** The largest canvas a room can have; the node fits a picture into it, and keeps its proportions. */
export const LARGEST_PICTURE = { width: 1920, height: 1080 };
export const SMALLEST_SIDE = 16;

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
/** Colour type → samples a pixel, and the depths it may have (PNG 1.2, table 11.1). */
const COLOURS: Record<number, { samples: number; depths: number[] }> = {
  0: { samples: 1, depths: [1, 2, 4, 8, 16] },
  2: { samples: 3, depths: [8, 16] },
  3: { samples: 1, depths: [1, 2, 4, 8] },
  4: { samples: 2, depths: [8, 16] },
  6: { samples: 4, depths: [8, 16] },
};

const broken = (why: string): SwitchyardError => new SwitchyardError('unprocessable', `That is no whole PNG: ${why}.`);

interface Chunk {
  type: string;
  data: Buffer;
}

function readChunks(bytes: Buffer): Chunk[] {
  if (!bytes.subarray(0, 8).equals(SIGNATURE)) throw broken('it does not begin as one');
  const chunks: Chunk[] = [];
  for (let at = 8; ;) {
    if (at + 12 > bytes.length) throw broken('it has no end');
    const length = bytes.readUInt32BE(at);
    if (at + 12 + length > bytes.length) throw broken('a chunk is longer than the file');
    const body = bytes.subarray(at + 4, at + 8 + length);
    if (crc32(body) !== bytes.readUInt32BE(at + 8 + length)) throw broken('a checksum is wrong');
    const type = body.subarray(0, 4).toString('latin1');
    chunks.push({ type, data: body.subarray(4) });
    at += 12 + length;
    if (type !== 'IEND') continue;
    if (at !== bytes.length) throw broken('something stands behind its end');
    return chunks;
  }
}

/** @returns size and transparency @throws unprocessable where it is no PNG that can be shown */
export function inspectPng(bytes: Buffer): PngFacts {
  const chunks = readChunks(bytes);
  const [header] = chunks;
  if (header?.type !== 'IHDR' || header.data.length !== 13) throw broken('its header is missing');
  const { data } = header;
  const [width, height] = [data.readUInt32BE(0), data.readUInt32BE(4)];
  const [depth, colour, compression, filter, interlace] = [...data.subarray(8)] as [
    number,
    number,
    number,
    number,
    number,
  ];
  const { width: maxWidth, height: maxHeight } = LARGEST_PICTURE;
  if (width < SMALLEST_SIDE || height < SMALLEST_SIDE || width > maxWidth || height > maxHeight) {
    throw new SwitchyardError(
      'unprocessable',
      `The picture is ${width}x${height}: it can be ${SMALLEST_SIDE}x${SMALLEST_SIDE} to ${maxWidth}x${maxHeight}.`,
    );
  }
  const form = COLOURS[colour];
  if (!form?.depths.includes(depth) || compression !== 0 || filter !== 0)
    throw broken('its header says what none can be');
  if (interlace !== 0) throw new SwitchyardError('unprocessable', 'The picture is interlaced: save it without.');
  if (colour === 3 && !chunks.some(({ type }) => type === 'PLTE')) throw broken('its palette is missing');
  checkPixels(chunks, height * (1 + Math.ceil((width * form.samples * depth) / 8)));
  return { width, height, hasAlpha: colour >= 4 || chunks.some(({ type }) => type === 'tRNS') };
}

/** The pixels unpack to exactly what the header says, so a small file can't become a huge picture on a node. */
function checkPixels(chunks: readonly Chunk[], expected: number): void {
  const packed = Buffer.concat(chunks.filter(({ type }) => type === 'IDAT').map(({ data }) => data));
  let size: number;
  try {
    size = inflateSync(packed, { maxOutputLength: expected + 1 }).length;
  } catch (cause) {
    throw new SwitchyardError('unprocessable', 'That is no whole PNG: its pixels can not be unpacked.', { cause });
  }
  if (size !== expected) throw broken('it has not the pixels its header tells of');
}
