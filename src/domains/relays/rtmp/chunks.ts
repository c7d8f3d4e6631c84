/** RTMP cuts messages into chunks and leaves out what repeats: this puts messages together again, and cuts ours. */
import { RtmpFault } from './fault';
import { MAX_CHUNK_SIZE, MAX_CHUNK_STREAMS, MIN_CHUNK_SIZE, type ReadLimits } from './limits';

export interface RtmpMessage {
  /** 1 chunk size, 2 abort, 3 acknowledgement, 4 user control, 5 window, 6 bandwidth, 8 sound, 9 video, 18 data, 20 command. */
  type: number;
  streamId: number;
  /** Milliseconds since the stream began; wraps at 2^32. */
  timestamp: number;
  payload: Buffer;
}

export const SET_CHUNK_SIZE = 1;
const ABORT = 2;
export const ACKNOWLEDGEMENT = 3;
export const USER_CONTROL = 4;
export const WINDOW_SIZE = 5;
const BANDWIDTH = 6;
export const SOUND = 8;
export const VIDEO = 9;
export const DATA = 18;
export const COMMAND = 20;

/** What both sides begin with. */
export const FIRST_CHUNK_SIZE = 128;
/** The longest control message that means anything has ten bytes. */
const MAX_CONTROL_BYTES = 64;
const EXTENDED = 0xffffff;
/** By the format in a chunk's first two bits: the bytes of its message header. */
const HEADER_BYTES = [11, 7, 3, 0] as const;
const LONGEST_HEADER = 3 + 11 + 4;

interface ChunkStream {
  timestamp: number;
  /** The timestamp field as it was last sent: a moment, or the time since the message before. */
  field: number;
  extended: boolean;
  length: number;
  type: number;
  streamId: number;
  /** Undefined while no message is begun. */
  payload: Buffer | undefined;
  got: number;
}

/**
 * Feed it bytes as they come; it calls back with whole messages. Every byte is copied once, into the buffer of its
 * message: what is read costs the same however it was cut.
 */
export class ChunkReader {
  private readonly header = Buffer.alloc(LONGEST_HEADER);
  private headerBytes = 0;
  /** The chunk whose payload is being read, and how much of it is still to come. */
  private current: ChunkStream | undefined;
  private chunkLeft = 0;
  private chunkSize = FIRST_CHUNK_SIZE;
  private openBytes = 0;
  private isStopped = false;
  private readonly streams = new Map<number, ChunkStream>();

  constructor(
    public limits: ReadLimits,
    private readonly onMessage: (message: RtmpMessage) => void,
  ) {}

  /** @throws RtmpFault on what is not RTMP, or more than the limits. Nothing may be fed to it after that. */
  push(bytes: Buffer): void {
    let at = 0;
    while (!this.isStopped && at < bytes.length) {
      at += this.current ? this.readPayload(this.current, bytes, at) : this.readHeader(bytes, at);
    }
  }

  /** Nothing is read any more, not even what was fed to it already; what is half read is let go. */
  stop(): void {
    this.isStopped = true;
    this.streams.clear();
    this.current = undefined;
  }

  /** @returns how many bytes it took */
  private readHeader(bytes: Buffer, at: number): number {
    const take = Math.min(this.needHeader() - this.headerBytes, bytes.length - at);
    bytes.copy(this.header, this.headerBytes, at, at + take);
    this.headerBytes += take;
    // What was read may tell that there is more of it.
    if (this.headerBytes === this.needHeader()) {
      this.headerBytes = 0;
      this.beginChunk();
    }
    return take;
  }

  /** How long the header is, as far as that can be known from what is there of it. */
  private needHeader(): number {
    if (this.headerBytes === 0) return 1;
    const first = this.header[0]!;
    const base = idBytes(first);
    const format = first >> 6;
    const need = base + HEADER_BYTES[format]!;
    if (this.headerBytes < need) return need;
    const isExtended =
      format < 3
        ? this.header.readUIntBE(base, 3) === EXTENDED
        : (this.streams.get(readId(this.header))?.extended ?? false);
    return isExtended ? need + 4 : need;
  }

  private beginChunk(): void {
    const { header } = this;
    const format = header[0]! >> 6;
    const base = idBytes(header[0]!);
    const head = this.streamOf(readId(header), format);
    const isFirst = head.payload === undefined;
    if (!isFirst && format < 3) throw new RtmpFault('it begins a message inside another one');
    if (format < 3) {
      head.field = header.readUIntBE(base, 3);
      head.extended = head.field === EXTENDED;
    }
    if (format < 2) {
      head.length = header.readUIntBE(base + 3, 3);
      head.type = header[base + 6]!;
    }
    if (format === 0) head.streamId = header.readUInt32LE(base + 7);
    if (head.extended) head.field = header.readUInt32BE(base + HEADER_BYTES[format]!);
    if (isFirst) {
      head.timestamp = format === 0 ? head.field : (head.timestamp + head.field) >>> 0;
      head.payload = this.openMessage(head);
      head.got = 0;
    }
    this.chunkLeft = Math.min(this.chunkSize, head.length - head.got);
    if (this.chunkLeft === 0)
      this.finish(head); // a message without content
    else this.current = head;
  }

  private streamOf(id: number, format: number): ChunkStream {
    const known = this.streams.get(id);
    if (known) return known;
    if (format !== 0) throw new RtmpFault('it does not speak RTMP');
    if (this.streams.size >= MAX_CHUNK_STREAMS) {
      throw new RtmpFault(`it uses more than ${MAX_CHUNK_STREAMS} chunk streams`);
    }
    const made: ChunkStream = {
      timestamp: 0,
      field: 0,
      extended: false,
      length: 0,
      type: 0,
      streamId: 0,
      payload: undefined,
      got: 0,
    };
    this.streams.set(id, made);
    return made;
  }

  /** @returns the one buffer that the message is read into */
  private openMessage({ type, length }: ChunkStream): Buffer {
    const { maxCommandBytes, maxMediaBytes, maxOpenBytes } = this.limits;
    const isControl = type >= SET_CHUNK_SIZE && type <= BANDWIDTH;
    const isMedia = type === SOUND || type === VIDEO;
    const most = isControl ? MAX_CONTROL_BYTES : isMedia ? maxMediaBytes : maxCommandBytes;
    if (length > most) throw new RtmpFault(`a message of type ${type} is too long (${length} bytes, at most ${most})`);
    this.openBytes += length;
    if (this.openBytes > maxOpenBytes) {
      throw new RtmpFault(`its unfinished messages are too long (more than ${maxOpenBytes} bytes)`);
    }
    return Buffer.allocUnsafe(length); // handed on only when every byte of it was read
  }

  private readPayload(head: ChunkStream, bytes: Buffer, at: number): number {
    const take = Math.min(this.chunkLeft, bytes.length - at);
    bytes.copy(head.payload!, head.got, at, at + take);
    head.got += take;
    this.chunkLeft -= take;
    if (this.chunkLeft === 0) {
      this.current = undefined;
      if (head.got === head.length) this.finish(head);
    }
    return take;
  }

  private finish(head: ChunkStream): void {
    const payload = head.payload!;
    this.closeMessage(head);
    if (head.type === SET_CHUNK_SIZE && payload.length >= 4) {
      this.chunkSize = acceptChunkSize(payload.readUInt32BE(0));
    } else if (head.type === ABORT && payload.length >= 4) {
      const other = this.streams.get(payload.readUInt32BE(0));
      if (other) this.closeMessage(other);
    } else {
      this.onMessage({ type: head.type, streamId: head.streamId, timestamp: head.timestamp, payload });
    }
  }

  private closeMessage(head: ChunkStream): void {
    if (!head.payload) return;
    this.openBytes -= head.payload.length;
    head.payload = undefined;
    head.got = 0;
  }
}

/** 0 and 1 in the first byte's last six bits say that the number stands in one or two bytes more. */
const idBytes = (first: number): number => ((first & 0x3f) > 1 ? 1 : (first & 0x3f) + 2);

function readId(header: Buffer): number {
  const short = header[0]! & 0x3f;
  if (short > 1) return short;
  return short === 0 ? 64 + header[1]! : 64 + header[1]! + 256 * header[2]!;
}

function acceptChunkSize(asked: number): number {
  if (asked < MIN_CHUNK_SIZE || asked > 0x7fffffff) {
    throw new RtmpFault(`it asks for chunks of ${asked} bytes: at least ${MIN_CHUNK_SIZE} are accepted`);
  }
  return Math.min(asked, MAX_CHUNK_SIZE);
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
