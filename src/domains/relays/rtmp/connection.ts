/** One RTMP connection, whichever side it is: handshake, whole messages in, whole messages out, and how much waits. */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { decodeAmf, encodeAmf, type AmfValue } from './amf';
import {
  ACKNOWLEDGEMENT,
  ChunkReader,
  COMMAND,
  DATA,
  FIRST_CHUNK_SIZE,
  SET_CHUNK_SIZE,
  SOUND,
  USER_CONTROL,
  VIDEO,
  WINDOW_SIZE,
  writeChunks,
  type RtmpMessage,
} from './chunks';
import { RtmpFault } from './fault';
import { MAX_WAITING_ANSWERS, type ReadLimits } from './limits';

const VERSION = 3;
const PACKET_BYTES = 1536;
const OUR_CHUNK_SIZE = 4096;
const PING = 6;
const PONG = 7;
/** Whoever wants to hear more often what we read is told this often. */
const MIN_WINDOW_BYTES = 1024;

export interface RtmpConnectionHandlers {
  /** The handshake is done. */
  onOpen(): void;
  onCommand(name: string, transaction: number, values: AmfValue[], streamId: number): void;
  /** Sound, video and data. */
  onMedia(message: RtmpMessage): void;
  /** Called once; the reason is plain words without addresses or keys. Nothing is read after it. */
  onClosed(reason: string): void;
}

export interface RtmpConnectionOptions {
  side: 'client' | 'server';
  limits: ReadLimits;
  /** How many bytes may have been read in all by now; asked at every read. Without end where it is left out. */
  maxReadBytes?: () => number;
}

/** Speaks RTMP over a socket that is connected already. It owns the socket from then on. */
export class RtmpConnection {
  private stage: 'hello' | 'echo' | 'open' | 'closed' = 'hello';
  /** Their version and packet, then their echo of ours. */
  private readonly packet = Buffer.alloc(1 + PACKET_BYTES);
  private packetBytes = 0;
  private readonly reader: ChunkReader;
  private chunkSize = FIRST_CHUNK_SIZE;
  private readBytes = 0;
  private toldBytes = 0;
  private windowBytes = 0;
  /** What the other side says it has read, where it says so. */
  acknowledgedBytes: number | undefined;

  constructor(
    private readonly socket: Socket,
    private readonly options: RtmpConnectionOptions,
    private readonly handlers: RtmpConnectionHandlers,
  ) {
    this.reader = new ChunkReader(options.limits, (message) => this.take(message));
    socket.setNoDelay(true);
    socket.on('data', (bytes: Buffer) => this.receive(bytes));
    socket.on('error', (error: NodeJS.ErrnoException) => this.close(nameFault(error)));
    socket.on('close', () => this.close('the connection was closed'));
    socket.on('end', () => this.close('the connection was closed'));
    if (options.side === 'client') socket.write(hello());
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

  /** It has shown who it is, and may send more from here on. */
  widen(limits: ReadLimits): void {
    this.reader.limits = limits;
  }

  send(chunkStream: number, message: RtmpMessage): void {
    if (this.stage !== 'open') return;
    this.socket.write(writeChunks(chunkStream, message, this.chunkSize));
  }

  command(name: string, transaction: number, values: AmfValue[], streamId = 0): void {
    const payload = encodeAmf([name, transaction, ...values]);
    this.send(3, { type: COMMAND, streamId, timestamp: 0, payload });
  }

  /** A command that they asked for. Who asks on and on and reads no answer is a fault, and not kept in memory. */
  answer(name: string, transaction: number, values: AmfValue[], streamId = 0): void {
    if (this.waitingBytes > MAX_WAITING_ANSWERS) this.close('it does not read our answers');
    else this.command(name, transaction, values, streamId);
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
    if (this.chunkSize === OUR_CHUNK_SIZE) return;
    this.control(SET_CHUNK_SIZE, OUR_CHUNK_SIZE);
    this.chunkSize = OUR_CHUNK_SIZE;
  }

  /** Lets what was written leave, for as long as `graceMs`, then ends it. What still comes is thrown away unread. */
  end(graceMs: number): void {
    if (this.stage === 'closed') return;
    const timer = setTimeout(() => this.socket.destroy(), graceMs);
    this.socket.end(() => {
      clearTimeout(timer);
      this.socket.destroy();
    });
    this.finish('we closed it');
  }

  close(reason: string): void {
    this.socket.destroy();
    this.finish(reason);
  }

  private finish(reason: string): void {
    if (this.stage === 'closed') return;
    this.stage = 'closed';
    this.reader.stop();
    this.handlers.onClosed(reason);
  }

  private receive(bytes: Buffer): void {
    if (this.stage === 'closed') return;
    this.readBytes += bytes.length;
    try {
      if (this.readBytes > (this.options.maxReadBytes?.() ?? Infinity)) throw new RtmpFault('it says too much');
      const rest = this.isOpen ? bytes : this.shakeHands(bytes);
      if (rest.length > 0 && this.isOpen) this.reader.push(rest);
      this.acknowledge();
    } catch (error) {
      this.close(error instanceof RtmpFault ? error.message : 'it does not speak RTMP');
    }
  }

  /** @returns what follows the handshake; nothing while that is not done, or where nobody wants more */
  private shakeHands(bytes: Buffer): Buffer {
    let at = 0;
    while (at < bytes.length && (this.stage === 'hello' || this.stage === 'echo')) {
      const need = this.stage === 'hello' ? 1 + PACKET_BYTES : PACKET_BYTES;
      const take = Math.min(need - this.packetBytes, bytes.length - at);
      bytes.copy(this.packet, this.packetBytes, at, at + take);
      this.packetBytes += take;
      at += take;
      if (this.packet[0] !== VERSION && this.stage === 'hello') throw new RtmpFault('it does not speak RTMP');
      if (this.packetBytes < need) break;
      this.packetBytes = 0;
      if (this.stage === 'hello') {
        const theirs = Buffer.from(this.packet.subarray(1));
        this.socket.write(this.options.side === 'server' ? Buffer.concat([hello(), theirs]) : theirs);
        this.stage = 'echo';
      } else {
        this.stage = 'open';
        this.handlers.onOpen();
      }
    }
    return bytes.subarray(at);
  }

  /** Whoever names a window wants to hear how much was read. */
  private acknowledge(): void {
    if (this.windowBytes === 0 || this.readBytes - this.toldBytes < this.windowBytes) return;
    if (this.waitingBytes > MAX_WAITING_ANSWERS) return;
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
      this.windowBytes = Math.max(MIN_WINDOW_BYTES, payload.readUInt32BE(0));
    } else if (type === ACKNOWLEDGEMENT && payload.length >= 4) {
      this.acknowledgedBytes = payload.readUInt32BE(0);
    } else if (type === USER_CONTROL && payload.length >= 6 && payload.readUInt16BE(0) === PING) {
      if (this.waitingBytes <= MAX_WAITING_ANSWERS) this.userControl(PONG, payload.readUInt32BE(2));
    } else if (type === SOUND || type === VIDEO || type === DATA) {
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
