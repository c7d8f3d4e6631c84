/** One RTMP connection, whichever side it is: handshake, whole messages in, whole messages out, and how much waits. */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { decodeAmf, encodeAmf, type AmfValue } from './amf';
import {
  ACKNOWLEDGEMENT,
  ChunkReader,
  COMMAND,
  PICTURE,
  SET_CHUNK_SIZE,
  SOUND,
  USER_CONTROL,
  WINDOW_SIZE,
  writeChunks,
  type RtmpMessage,
} from './chunks';

const VERSION = 3;
const PACKET_BYTES = 1536;
const OUR_CHUNK_SIZE = 4096;
const FIRST_CHUNK_SIZE = 128;
const PING = 6;
const PONG = 7;

export interface PeerHandlers {
  /** The handshake is done. */
  onOpen(): void;
  onCommand(name: string, transaction: number, values: AmfValue[], streamId: number): void;
  /** Sound, picture and data. */
  onMedia(message: RtmpMessage): void;
  /** Called once; the reason is plain words without addresses or keys. */
  onClosed(reason: string): void;
}

/** Speaks RTMP over a socket that is connected already. It owns the socket from then on. */
export class RtmpPeer {
  private stage: 'hello' | 'echo' | 'open' | 'closed' = 'hello';
  private early: Buffer = Buffer.alloc(0);
  private readonly reader = new ChunkReader((message) => this.take(message));
  private chunkSize = FIRST_CHUNK_SIZE;
  private readBytes = 0;
  private toldBytes = 0;
  private windowBytes = 0;
  /** What the other side says it has read, where it says so. */
  acknowledgedBytes: number | undefined;

  constructor(
    private readonly socket: Socket,
    private readonly side: 'client' | 'server',
    private readonly handlers: PeerHandlers,
  ) {
    socket.setNoDelay(true);
    socket.on('data', (bytes: Buffer) => this.receive(bytes));
    socket.on('error', (error: NodeJS.ErrnoException) => this.close(nameFault(error)));
    socket.on('close', () => this.close('the connection was closed'));
    socket.on('end', () => this.close('the connection was closed'));
    if (side === 'client') socket.write(hello());
  }

  get isOpen(): boolean {
    return this.stage === 'open';
  }
  /** Bytes given to the connection, whether they have left or not. */
  get givenBytes(): number {
    return this.socket.bytesWritten;
  }
  /** Bytes that wait in this process because the other side does not take them. */
  get waitingBytes(): number {
    return this.socket.writableLength;
  }
  get receivedBytes(): number {
    return this.readBytes;
  }
  get ports(): { local: number | undefined; remote: number | undefined } {
    return { local: this.socket.localPort, remote: this.socket.remotePort };
  }

  send(chunkStream: number, message: RtmpMessage): void {
    if (this.stage !== 'open') return;
    this.socket.write(writeChunks(chunkStream, message, this.chunkSize));
  }

  command(name: string, transaction: number, values: AmfValue[], streamId = 0): void {
    const payload = encodeAmf([name, transaction, ...values]);
    this.send(3, { type: COMMAND, streamId, timestamp: 0, payload });
  }

  control(type: number, ...numbers: number[]): void {
    const payload = Buffer.alloc(4 * numbers.length);
    numbers.forEach((n, i) => payload.writeUInt32BE(n >>> 0, i * 4));
    this.send(2, { type, streamId: 0, timestamp: 0, payload });
  }

  userControl(event: number, value: number): void {
    const payload = Buffer.alloc(6);
    payload.writeUInt16BE(event);
    payload.writeUInt32BE(value >>> 0, 2);
    this.send(2, { type: USER_CONTROL, streamId: 0, timestamp: 0, payload });
  }

  /** Larger chunks from here on. */
  growChunks(): void {
    this.control(SET_CHUNK_SIZE, OUR_CHUNK_SIZE);
    this.chunkSize = OUR_CHUNK_SIZE;
  }

  /** Lets what was written leave, for as long as `graceMs`, then ends it. */
  end(graceMs: number): void {
    if (this.stage === 'closed') return;
    const timer = setTimeout(() => this.socket.destroy(), graceMs);
    this.socket.end(() => {
      clearTimeout(timer);
      this.socket.destroy();
    });
    this.close('we closed it', true);
  }

  close(reason: string, keepSocket = false): void {
    if (!keepSocket) this.socket.destroy();
    if (this.stage === 'closed') return;
    this.stage = 'closed';
    this.handlers.onClosed(reason);
  }

  private receive(bytes: Buffer): void {
    if (this.stage === 'closed') return;
    this.readBytes += bytes.length;
    try {
      if (this.stage === 'open') this.reader.push(bytes);
      else this.shakeHands(bytes);
      this.acknowledge();
    } catch {
      this.close('it does not speak RTMP');
    }
  }

  private shakeHands(bytes: Buffer): void {
    this.early = Buffer.concat([this.early, bytes]);
    if (this.stage === 'hello') {
      if (this.early.length > 0 && this.early[0] !== VERSION) throw new RangeError('another version');
      if (this.early.length < 1 + PACKET_BYTES) return;
      const theirs = this.early.subarray(1, 1 + PACKET_BYTES);
      this.socket.write(this.side === 'server' ? Buffer.concat([hello(), theirs]) : theirs);
      this.early = this.early.subarray(1 + PACKET_BYTES);
      this.stage = 'echo';
    }
    if (this.early.length < PACKET_BYTES) return;
    const rest = this.early.subarray(PACKET_BYTES);
    this.early = Buffer.alloc(0);
    this.stage = 'open';
    this.handlers.onOpen();
    if (rest.length > 0) this.reader.push(rest);
  }

  /** Whoever names a window wants to hear how much was read. */
  private acknowledge(): void {
    if (this.windowBytes === 0 || this.readBytes - this.toldBytes < this.windowBytes) return;
    this.toldBytes = this.readBytes;
    this.control(ACKNOWLEDGEMENT, this.readBytes % 2 ** 32);
  }

  private take(message: RtmpMessage): void {
    if (this.stage === 'closed') return;
    const { type, payload } = message;
    if (type === COMMAND) {
      const [name, transaction, ...values] = decodeAmf(payload);
      this.handlers.onCommand(String(name), Number(transaction) || 0, values, message.streamId);
    } else if (type === WINDOW_SIZE && payload.length >= 4) {
      this.windowBytes = payload.readUInt32BE(0);
    } else if (type === ACKNOWLEDGEMENT && payload.length >= 4) {
      this.acknowledgedBytes = payload.readUInt32BE(0);
    } else if (type === USER_CONTROL && payload.length >= 6 && payload.readUInt16BE(0) === PING) {
      this.userControl(PONG, payload.readUInt32BE(2));
    } else if (type === SOUND || type === PICTURE || type === 18) {
      this.handlers.onMedia(message);
    }
  }
}

function hello(): Buffer {
  const bytes = randomBytes(1 + PACKET_BYTES);
  bytes[0] = VERSION;
  bytes.fill(0, 1, 9); // time and the four zeroes of the simple handshake
  return bytes;
}

/** A fault of a socket in plain words: neither address nor path. */
export function nameFault(error: NodeJS.ErrnoException): string {
  const code = error.code ?? '';
  if (code === 'ECONNREFUSED') return 'the connection was refused';
  if (code === 'ECONNRESET' || code === 'EPIPE') return 'the connection was reset';
  if (code === 'ETIMEDOUT') return 'there was no answer in time';
  if (code === 'ENETUNREACH' || code === 'EHOSTUNREACH') return 'there is no way to that address';
  if (/CERT|TLS|SSL|SIGNATURE|ALTNAME/.test(code)) return `its certificate or TLS is not accepted (${code})`;
  return `the connection failed${code ? ` (${code})` : ''}`;
}
