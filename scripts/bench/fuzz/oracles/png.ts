/** Reads a PNG strictly after its specification (ISO 15948), and knows nothing of our own reader. */
import { inflateSync } from 'node:zlib';

const DEPTHS: Record<number, readonly number[]> = {
  0: [1, 2, 4, 8, 16],
  2: [8, 16],
  3: [1, 2, 4, 8],
  4: [8, 16],
  6: [8, 16],
};
const SAMPLES: Record<number, number> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

/** @returns what is wrong with it by the book, where something is; the checksums are taken as given */
export function findPngFault(bytes: Buffer): string | undefined {
  const order: { type: string; data: Buffer }[] = [];
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = bytes.readUInt32BE(at);
    order.push({ type: bytes.toString('latin1', at + 4, at + 8), data: bytes.subarray(at + 8, at + 8 + length) });
    at += 12 + length;
  }
  const types = order.map(({ type }) => type);
  const once = (type: string): boolean => types.filter((t) => t === type).length === 1;
  if (types[0] !== 'IHDR' || !once('IHDR')) return 'IHDR is first, and once';
  if (types.at(-1) !== 'IEND' || !once('IEND')) return 'IEND is last, and once';
  const critical = types.find((type) => /^[A-Z]/.test(type) && !['IHDR', 'PLTE', 'IDAT', 'IEND'].includes(type));
  if (critical !== undefined) return `an unknown critical chunk ${critical}`;
  const odd = types.find((type) => !/^[A-Za-z]{2}[A-Z][A-Za-z]$/.test(type));
  if (odd !== undefined) return `a chunk's name that is none: ${JSON.stringify(odd)}`;
  const [first, last] = [types.indexOf('IDAT'), types.lastIndexOf('IDAT')];
  if (first < 0 || types.slice(first, last).some((type) => type !== 'IDAT')) return 'IDAT chunks stand together';
  const header = order[0]!.data;
  const [depth, colour] = [header[8]!, header[9]!];
  if (!DEPTHS[colour]?.includes(depth)) return 'a depth that its colour type does not have';
  const palette = order.find(({ type }) => type === 'PLTE')?.data;
  if (types.filter((type) => type === 'PLTE').length > 1) return 'two palettes';
  if (palette) {
    if (colour === 0 || colour === 4) return 'a palette for grey';
    if (types.indexOf('PLTE') > first) return 'the palette behind the pixels';
    const most = colour === 3 ? 3 * 2 ** depth : 768;
    if (palette.length === 0 || palette.length % 3 !== 0 || palette.length > most) return 'a palette of that length';
  } else if (colour === 3) return 'no palette';
  const clear = order.filter(({ type }) => type === 'tRNS');
  if (clear.length > 0) {
    const expected = { 0: 2, 2: 6, 3: undefined }[colour];
    const length = clear[0]!.data.length;
    if (clear.length > 1 || colour > 3) return 'transparency twice, or beside alpha';
    if (colour === 3 ? length === 0 || length > palette!.length / 3 : length !== expected) return 'tRNS of that length';
    if (types.indexOf('tRNS') > first || types.indexOf('tRNS') < types.indexOf('PLTE')) return 'tRNS in its place';
  }
  const [width, height] = [header.readUInt32BE(0), header.readUInt32BE(4)];
  const pixels = inflateSync(Buffer.concat(order.filter(({ type }) => type === 'IDAT').map(({ data }) => data)));
  const rowBytes = 1 + Math.ceil((width * SAMPLES[colour]! * depth) / 8);
  if (pixels.length !== rowBytes * height) return 'more or fewer pixels';
  for (let row = 0; row < height; row += 1) if (pixels[row * rowBytes]! > 4) return `filter ${pixels[row * rowBytes]}`;
  return undefined;
}
