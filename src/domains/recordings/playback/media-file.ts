/** Asks a recording's file itself how long it is: a node that was killed leaves files without an index or a length. */
import { open, type FileHandle } from 'node:fs/promises';
import { readWavLayout, wavBytesPerSecond, type ReadAt, type WavLayout } from '../../../infra/wav';
import type { RecordingFormat } from '../recordings.store';

export interface MediaFacts {
  /** False where no player could play it. */
  playable: boolean;
  durationMs: number | null;
  wav?: WavLayout;
}

const BROKEN: MediaFacts = { playable: false, durationMs: null };
/** An index of many hours is some MB; more is none of ours. */
const INDEX_LIMIT_BYTES = 64_000_000;
/** FreeSWITCH writes a handful. Each is a read of its own: a gigabyte of empty ones would be read for half an hour. */
const MOST_BOXES = 500;
/** A length past this is a lie, and more than a number or a column can hold. */
const LONGEST_MS = 366 * 24 * 3_600_000;

export async function inspectMedia(path: string, format: RecordingFormat): Promise<MediaFacts> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const read: ReadAt = (at, length) => readAt(file, at, Math.min(length, size - at));
    return format === 'wav' ? await inspectWav(read, size) : await inspectMp4(read, size);
  } finally {
    await file.close();
  }
}

async function readAt(file: FileHandle, at: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(Math.max(0, length));
  const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
  return buffer.subarray(0, bytesRead);
}

async function inspectWav(read: ReadAt, size: number): Promise<MediaFacts> {
  const wav = await readWavLayout(read, size);
  const bytesPerSecond = wav ? wavBytesPerSecond(wav) : 0;
  return wav && bytesPerSecond > 0 ? { ...lasting(wav.dataBytes, bytesPerSecond), wav } : BROKEN;
}

/** ISO 14496-12: boxes of 4 bytes of length, 4 letters and a body. Without `moov` nothing can be played. */
async function inspectMp4(read: ReadAt, size: number): Promise<MediaFacts> {
  for (let at = 0, boxes = 0; at + 8 <= size && boxes < MOST_BOXES; boxes += 1) {
    const head = await read(at, 16);
    if (head.length < 8) return BROKEN;
    const short = head.readUInt32BE(0);
    const long = short === 1 && head.length === 16 ? Number(head.readBigUInt64BE(8)) : short;
    const length = short === 0 ? size - at : long;
    if (length < 8 || at + length > size) return BROKEN;
    if (head.toString('latin1', 4, 8) === 'moov') {
      const moov = await read(at, Math.min(length, INDEX_LIMIT_BYTES));
      return hasSamples(moov.subarray(8)) ? readMoov(moov) : BROKEN;
    }
    at += length;
  }
  return BROKEN;
}

/** Boxes that hold boxes, down to `stsz` with the number of samples. */
const HOLDERS = new Set(['trak', 'mdia', 'minf', 'stbl']);

/** Whether the index tells of any frame of sound or video: a writer that ends at once leaves an index of nothing. */
function hasSamples(boxes: Buffer): boolean {
  for (let at = 0, count = 0; at + 8 <= boxes.length && count < MOST_BOXES; count += 1) {
    const length = boxes.readUInt32BE(at);
    if (length < 8) return false;
    const name = boxes.toString('latin1', at + 4, at + 8);
    const body = boxes.subarray(at + 8, at + length);
    if (name === 'stsz' && body.length >= 12 && body.readUInt32BE(8) > 0) return true;
    if (HOLDERS.has(name) && hasSamples(body)) return true;
    at += length;
  }
  return false;
}

function readMoov(moov: Buffer): MediaFacts {
  for (let at = 8, boxes = 0; at + 8 <= moov.length && boxes < MOST_BOXES; boxes += 1) {
    const length = moov.readUInt32BE(at);
    if (length < 8) break;
    if (moov.toString('latin1', at + 4, at + 8) === 'mvhd') return readMvhd(moov.subarray(at + 8, at + length));
    at += length;
  }
  return BROKEN;
}

/** Version 0 has 32-bit times, version 1 has 64-bit ones. */
function readMvhd(body: Buffer): MediaFacts {
  const isLong = body[0] === 1;
  if (body.length < (isLong ? 32 : 20)) return BROKEN;
  const scale = body.readUInt32BE(isLong ? 20 : 12);
  const units = isLong ? Number(body.readBigUInt64BE(24)) : body.readUInt32BE(16);
  return scale === 0 ? BROKEN : lasting(units, scale);
}

function lasting(units: number, perSecond: number): MediaFacts {
  const durationMs = Math.round((units / perSecond) * 1000);
  return durationMs > LONGEST_MS ? BROKEN : { playable: units > 0, durationMs };
}
