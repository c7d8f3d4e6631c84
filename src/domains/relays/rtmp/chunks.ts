/** RTMP cuts messages into chunks and leaves out what repeats: this puts messages together again, and cuts ours. */

export interface RtmpMessage {
  /** 1 chunk size, 2 abort, 3 acknowledgement, 4 user control, 5 window, 6 bandwidth, 8 sound, 9 picture, 18 data, 20 command. */
  type: number;
  streamId: number;
  /** Milliseconds since the stream began; wraps at 2^32. */
  timestamp: number;
  payload: Buffer;
}

export const SET_CHUNK_SIZE = 1;
export const ABORT = 2;
export const ACKNOWLEDGEMENT = 3;
export const USER_CONTROL = 4;
export const WINDOW_SIZE = 5;
export const SOUND = 8;
export const PICTURE = 9;
export const DATA = 18;
export const COMMAND = 20;

/** What both sides begin with. */
const FIRST_CHUNK_SIZE = 128;
const MAX_MESSAGE_BYTES = 8 * 1024 * 1024;
const MAX_CHUNK_STREAMS = 64;
const EXTENDED = 0xffffff;

interface ChunkStream {
  timestamp: number;
  field: number;
  extended: boolean;
  length: number;
  type: number;
  streamId: number;
  parts: Buffer[];
  got: number;
}

/** Feed it bytes as they come; it calls back with whole messages. @throws RangeError on what is not RTMP. */
export class ChunkReader {
  private rest: Buffer = Buffer.alloc(0);
  private chunkSize = FIRST_CHUNK_SIZE;
  private readonly streams = new Map<number, ChunkStream>();

  constructor(private readonly onMessage: (message: RtmpMessage) => void) {}

  push(bytes: Buffer): void {
    this.rest = this.rest.length === 0 ? bytes : Buffer.concat([this.rest, bytes]);
    let used = 0;
    for (;;) {
      const next = this.readChunk(used);
      if (next === undefined) break;
      used = next;
    }
    this.rest = this.rest.subarray(used);
  }

  /** @returns where the next chunk begins; undefined where this one is not all there. */
  private readChunk(start: number): number | undefined {
    const b = this.rest;
    let at = start;
    if (b.length - at < 1) return undefined;
    const format = b[at]! >> 6;
    const short = b[at]! & 0x3f; // 0 and 1: the number stands in one or two bytes more
    at += 1;
    if (short < 2 && b.length - at < short + 1) return undefined;
    const id = short > 1 ? short : short === 0 ? 64 + b[at]! : 64 + b[at]! + 256 * b[at + 1]!;
    if (short < 2) at += short + 1;
    const headBytes = [11, 7, 3, 0][format]!;
    if (b.length - at < headBytes) return undefined;
    const known = this.streams.get(id);
    if (!known && (format !== 0 || this.streams.size >= MAX_CHUNK_STREAMS)) throw new RangeError('not a chunk of RTMP');
    const head: ChunkStream = known
      ? { ...known }
      : { timestamp: 0, field: 0, extended: false, length: 0, type: 0, streamId: 0, parts: [], got: 0 };
    const isFirst = head.got === 0;
    if (format < 3) {
      head.field = b.readUIntBE(at, 3);
      head.extended = head.field === EXTENDED;
    }
    if (format < 2) {
      head.length = b.readUIntBE(at + 3, 3);
      head.type = b[at + 6]!;
    }
    if (format === 0) head.streamId = b.readUInt32LE(at + 7);
    at += headBytes;
    if (head.extended) {
      if (b.length - at < 4) return undefined;
      head.field = b.readUInt32BE(at);
      at += 4;
    }
    if (head.length > MAX_MESSAGE_BYTES) throw new RangeError('a message of RTMP that is too long');
    const take = Math.min(this.chunkSize, head.length - head.got);
    if (b.length - at < take) return undefined;
    if (isFirst) head.timestamp = format === 0 ? head.field : (head.timestamp + head.field) >>> 0;
    head.parts = isFirst ? [b.subarray(at, at + take)] : [...head.parts, b.subarray(at, at + take)];
    head.got += take;
    this.streams.set(id, head);
    if (head.got >= head.length) this.finish(head);
    return at + take;
  }

  private finish(head: ChunkStream): void {
    const payload = head.parts.length === 1 ? head.parts[0]! : Buffer.concat(head.parts);
    head.parts = [];
    head.got = 0;
    if (head.type === SET_CHUNK_SIZE && payload.length >= 4) {
      this.chunkSize = Math.max(1, payload.readUInt32BE(0) & 0x7fffffff);
      return;
    }
    if (head.type === ABORT && payload.length >= 4) {
      const other = this.streams.get(payload.readUInt32BE(0));
      if (other) Object.assign(other, { parts: [], got: 0 });
      return;
    }
    this.onMessage({ type: head.type, streamId: head.streamId, timestamp: head.timestamp, payload });
  }
}

/** Cuts one message. Every message carries its whole header: nothing depends on what was sent before. */
export function writeChunks(chunkStream: number, message: RtmpMessage, chunkSize: number): Buffer {
  const { payload, timestamp } = message;
  const isLate = timestamp >= EXTENDED;
  const head = Buffer.alloc(isLate ? 16 : 12);
  head[0] = chunkStream;
  head.writeUIntBE(isLate ? EXTENDED : timestamp, 1, 3);
  head.writeUIntBE(payload.length, 4, 3);
  head[7] = message.type;
  head.writeUInt32LE(message.streamId, 8);
  if (isLate) head.writeUInt32BE(timestamp, 12);
  const parts: Buffer[] = [head];
  const again = Buffer.alloc(isLate ? 5 : 1);
  again[0] = 0xc0 | chunkStream;
  if (isLate) again.writeUInt32BE(timestamp, 1);
  for (let at = 0; at < payload.length; at += chunkSize) {
    if (at > 0) parts.push(again);
    parts.push(payload.subarray(at, at + chunkSize));
  }
  return Buffer.concat(parts);
}
