/** Reads a PNG as strictly as a media server should never have to, and writes it again: nothing else than an image is left. */
import { promisify } from 'node:util';
import { crc32, inflate, type InputType, type ZlibOptions } from 'node:zlib';
import { SwitchyardError } from '../../../errors';

export interface CleanPng {
  width: number;
  height: number;
  /** Some of it can be seen through. */
  hasAlpha: boolean;
  /** IHDR, PLTE, tRNS, one IDAT and IEND, and nothing beside them. */
  bytes: Buffer;
}

/** The largest canvas a room can have; the node fits an image into it, and keeps its proportions. */
export const LARGEST_IMAGE = { width: 1920, height: 1080 };
export const SMALLEST_SIDE = 16;

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
/** Encoders write 8 KB at once: an image of 2 MB has some 250. */
const MAX_CHUNKS = 4096;
const LAST_FILTER = 4;
/** Colour type → samples a pixel, and the depths it may have (PNG 1.2, table 11.1). */
const COLOURS: Record<number, { samples: number; depths: number[] }> = {
  0: { samples: 1, depths: [1, 2, 4, 8, 16] },
  2: { samples: 3, depths: [8, 16] },
  3: { samples: 1, depths: [1, 2, 4, 8] },
  4: { samples: 2, depths: [8, 16] },
  6: { samples: 4, depths: [8, 16] },
};
const WITH_PALETTE = 3;

const broken = (why: string): SwitchyardError => new SwitchyardError('unprocessable', `Not a valid PNG: ${why}.`);

interface Parts {
  IHDR: Buffer;
  PLTE?: Buffer;
  tRNS?: Buffer;
  IDAT: Buffer[];
}

/**
 * What cameras, screens and drawing programs add (gAMA, sRGB, pHYs, iCCP, tEXt, eXIf …) is left out: nearly every file
 * has some of it, no node shows it, and each is read by a parser of its own there. What a reader may not skip is refused.
 */
function readParts(bytes: Buffer): Parts {
  if (!bytes.subarray(0, 8).equals(SIGNATURE)) throw broken('the signature is missing');
  const parts: Partial<Parts> & { IDAT: Buffer[] } = { IDAT: [] };
  let before = '';
  for (let at = 8, count = 0; ; count += 1) {
    if (count >= MAX_CHUNKS) throw broken('it has too many chunks');
    if (at + 12 > bytes.length) throw broken('IEND is missing');
    const length = bytes.readUInt32BE(at);
    if (at + 12 + length > bytes.length) throw broken('a chunk is longer than the file');
    const body = bytes.subarray(at + 4, at + 8 + length);
    if (crc32(body) !== bytes.readUInt32BE(at + 8 + length)) throw broken('a checksum is wrong');
    const type = body.subarray(0, 4).toString('latin1');
    const data = body.subarray(4);
    at += 12 + length;
    if (count === 0 && type !== 'IHDR') throw broken('its header is missing');
    if (type === 'IDAT') {
      if (parts.IDAT.length > 0 && before !== 'IDAT') throw broken('its pixels are not in one place');
      parts.IDAT.push(data);
    } else if (type === 'IHDR' || type === 'PLTE' || type === 'tRNS') {
      if (parts[type]) throw broken(`it has ${type} twice`);
      if (parts.IDAT.length > 0) throw broken(`${type} stands behind its pixels`);
      if (type === 'PLTE' && parts.tRNS) throw broken('PLTE stands behind tRNS');
      parts[type] = data;
    } else if (type === 'IEND') {
      if (length > 0) throw broken('IEND is not empty');
      if (at !== bytes.length) throw broken('data after IEND');
      if (parts.IDAT.length === 0) throw broken('it has no pixels');
      return parts as Parts;
    } else if (!/^[a-z][A-Za-z]{3}$/.test(type)) {
      throw broken('it holds a chunk that no reader may skip, and that is none of an image');
    }
    before = type;
  }
}

interface Header {
  width: number;
  height: number;
  depth: number;
  colour: number;
  lineBytes: number;
}

function readHeader(data: Buffer): Header {
  if (data.length !== 13) throw broken('its header is missing');
  const [width, height] = [data.readUInt32BE(0), data.readUInt32BE(4)];
  const [depth = 0, colour = 0, compression, filter, interlace] = [...data.subarray(8)];
  const { width: maxWidth, height: maxHeight } = LARGEST_IMAGE;
  if (width < SMALLEST_SIDE || height < SMALLEST_SIDE || width > maxWidth || height > maxHeight) {
    throw new SwitchyardError(
      'unprocessable',
      `The image is ${width}x${height}: it must be ${SMALLEST_SIDE}x${SMALLEST_SIDE} to ${maxWidth}x${maxHeight}.`,
    );
  }
  const form = COLOURS[colour];
  if (!form?.depths.includes(depth) || compression !== 0 || filter !== 0) {
    throw broken('unsupported colour type or depth');
  }
  if (interlace !== 0)
    throw new SwitchyardError('unprocessable', 'The PNG is interlaced: save it without interlacing.');
  return { width, height, depth, colour, lineBytes: 1 + Math.ceil((width * form.samples * depth) / 8) };
}

/** @returns the palette with as many colours as a pixel can name, so that none names one that is not there */
function readPalette({ colour, depth }: Header, palette: Buffer | undefined): Buffer | undefined {
  if (palette && (palette.length === 0 || palette.length % 3 !== 0 || palette.length > 3 * 256)) {
    throw broken('its palette is none');
  }
  if (colour !== WITH_PALETTE) {
    if (palette && colour !== 2 && colour !== 6) throw broken('an image in grey has no palette');
    return undefined; // with true colours it is a proposal for screens that have few
  }
  if (!palette) throw broken('its palette is missing');
  const whole = Buffer.alloc(3 * 2 ** depth);
  if (palette.length > whole.length) throw broken('its palette has more colours than its pixels can name');
  palette.copy(whole);
  return whole;
}

function checkTransparency({ colour }: Header, tRNS: Buffer | undefined, palette: Buffer | undefined): void {
  if (!tRNS) return;
  const isRight =
    colour === 0
      ? tRNS.length === 2
      : colour === 2
        ? tRNS.length === 6
        : colour === WITH_PALETTE && tRNS.length >= 1 && tRNS.length <= palette!.length / 3;
  if (!isRight) throw broken('its transparency fits no such image');
}

type Inflate = (data: InputType, options: ZlibOptions) => Promise<{ buffer: Buffer; engine: { bytesWritten: number } }>;
/** Beside the event loop: 16 MB of pixels take longer than a phone should wait for an answer. */
const inflateWithInfo = promisify(inflate) as unknown as Inflate;

/**
 * The pixels unpack to exactly what the header says, so a small file can't become a huge image on a node, and each
 * line says how it is packed in a way that there is.
 * @returns the packed pixels without what stands behind them
 */
async function readPixels({ height, lineBytes }: Header, parts: readonly Buffer[]): Promise<Buffer> {
  const packed = Buffer.concat(parts);
  const expected = height * lineBytes;
  let pixels: Buffer;
  let used: number;
  try {
    const { buffer, engine } = await inflateWithInfo(packed, { maxOutputLength: expected + 1, info: true });
    pixels = buffer;
    used = engine.bytesWritten;
  } catch (cause) {
    throw new SwitchyardError('unprocessable', "Not a valid PNG: its pixel data can't be decompressed.", { cause });
  }
  if (pixels.length !== expected) throw broken('pixel data does not match the header');
  for (let at = 0; at < expected; at += lineBytes) {
    if (pixels[at]! > LAST_FILTER) throw broken('a line of its pixels is packed in a way that there is not');
  }
  return packed.subarray(0, used);
}

function writeChunk(type: string, data: Buffer): Buffer {
  const chunk = Buffer.alloc(12 + data.length);
  chunk.writeUInt32BE(data.length, 0);
  chunk.write(type, 4, 'latin1');
  data.copy(chunk, 8);
  chunk.writeUInt32BE(crc32(chunk.subarray(4, 8 + data.length)), 8 + data.length);
  return chunk;
}

/** @returns the image written again, and what it is @throws unprocessable where it is no PNG that can be shown */
export async function cleanPng(bytes: Buffer): Promise<CleanPng> {
  const parts = readParts(bytes);
  const header = readHeader(parts.IHDR);
  const palette = readPalette(header, parts.PLTE);
  checkTransparency(header, parts.tRNS, palette);
  const pixels = await readPixels(header, parts.IDAT);
  const { width, height, colour } = header;
  return {
    width,
    height,
    hasAlpha: colour >= 4 || parts.tRNS !== undefined,
    bytes: Buffer.concat([
      SIGNATURE,
      writeChunk('IHDR', parts.IHDR),
      ...(palette ? [writeChunk('PLTE', palette)] : []),
      ...(parts.tRNS ? [writeChunk('tRNS', parts.tRNS)] : []),
      writeChunk('IDAT', pixels),
      writeChunk('IEND', Buffer.alloc(0)),
    ]),
  };
}
