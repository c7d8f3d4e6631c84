/** Reads PNG images, so that a test can say what is where in what a room mixes. */
import { inflateSync } from 'node:zlib';

export interface Colour {
  red: number;
  green: number;
  blue: number;
}

export interface Pixels {
  width: number;
  height: number;
  /** The mean of a part of the image, in its pixels. */
  meanOf(x: number, y: number, width: number, height: number): Colour;
}

const SIGNATURE = '89504e470d0a1a0a';
/** Bytes of a pixel by the PNG's colour type, where each is of 8 bits. */
const CHANNELS: Record<number, number> = { 0: 1, 2: 3, 6: 4 };

/** Images of 8 bits a channel that are not interlaced. @throws for all others */
export function readPng(png: Buffer): Pixels {
  if (png.subarray(0, 8).toString('hex') !== SIGNATURE) throw new Error('That is no PNG.');
  const width = png.readUInt32BE(16);
  const height = png.readUInt32BE(20);
  const channels = CHANNELS[png[25]!];
  if (png[24] !== 8 || channels === undefined || png[28] !== 0) throw new Error('A PNG of another kind.');
  const data: Buffer[] = [];
  for (let at = 8; at < png.length; at += png.readUInt32BE(at) + 12) {
    if (png.toString('latin1', at + 4, at + 8) === 'IDAT')
      data.push(png.subarray(at + 8, at + 8 + png.readUInt32BE(at)));
  }
  const pixels = unfilter(inflateSync(Buffer.concat(data)), width * channels, height, channels);
  return {
    width,
    height,
    meanOf(x, y, w, h) {
      const sum = [0, 0, 0];
      for (let row = y; row < y + h; row += 1) {
        for (let column = x; column < x + w; column += 1) {
          const at = (row * width + column) * channels;
          for (let c = 0; c < 3; c += 1) sum[c]! += pixels[at + (channels === 1 ? 0 : c)]!;
        }
      }
      const [red, green, blue] = sum.map((s) => Math.round(s / (w * h))) as [number, number, number];
      return { red, green, blue };
    },
  };
}

/** Each line tells by its first byte how it was made from its neighbours (PNG, 9.2). */
function unfilter(lines: Buffer, lineBytes: number, height: number, step: number): Buffer {
  const out = Buffer.alloc(lineBytes * height);
  for (let row = 0; row < height; row += 1) {
    const filter = lines[row * (lineBytes + 1)]!;
    for (let i = 0; i < lineBytes; i += 1) {
      const at = row * lineBytes + i;
      const left = i >= step ? out[at - step]! : 0;
      const above = row > 0 ? out[at - lineBytes]! : 0;
      const corner = row > 0 && i >= step ? out[at - lineBytes - step]! : 0;
      out[at] = lines[row * (lineBytes + 1) + 1 + i]! + predict(filter, left, above, corner);
    }
  }
  return out;
}

function predict(filter: number, left: number, above: number, corner: number): number {
  if (filter === 1) return left;
  if (filter === 2) return above;
  if (filter === 3) return (left + above) >> 1;
  if (filter !== 4) return 0;
  const guess = left + above - corner;
  const [toLeft, toAbove, toCorner] = [left, above, corner].map((v) => Math.abs(guess - v)) as [number, number, number];
  if (toLeft <= toAbove && toLeft <= toCorner) return left;
  return toAbove <= toCorner ? above : corner;
}
