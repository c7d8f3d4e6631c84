/** Cuts the Event Socket's byte stream into frames: modesl's own reader dies of a stray `%` and is slow on large bodies. */
import { EslError } from './faults';

/** One frame. `body` is a view into the received bytes: read it before returning. */
export interface Frame {
  contentType: string;
  headers: ReadonlyMap<string, string>;
  body: Buffer | undefined;
}

const HEAD_LIMIT = 32 * 1024;
const BODY_LIMIT = 128 * 1024 * 1024;
const NEW_LINE = 10;
const BLANK_LINE = Buffer.from('\n\n');
const EVENT_HEAD = /^Content-Length: (\d{1,9})\nContent-Type: text\/event-json$/;
const NO_HEADERS: ReadonlyMap<string, string> = new Map();

/** Headers as they came: nothing is percent-decoded, so nothing in them can be malformed. */
function parseHead(head: string): Map<string, string> {
  const headers = new Map<string, string>();
  for (const line of head.split('\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  return headers;
}

function bodyLength(text: string | undefined): number {
  if (text === undefined) return 0;
  const length = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
  if (!(length <= BODY_LIMIT)) throw new EslError('bad_reply', 'The node announced a body of an impossible length');
  return length;
}

/** Give it chunks as they arrive; it gives whole frames back, in order. Throws EslError `bad_reply` on nonsense. */
export class FrameReader {
  private chunks: Buffer[] = [];
  private buffered = 0;
  private needed = 0;
  private stopped = false;

  constructor(private readonly onFrame: (frame: Frame) => void) {}

  /** No frame is delivered after this, also not from the chunk that is being read. */
  stop(): void {
    this.stopped = true;
    this.chunks = [];
  }

  push(chunk: Buffer): void {
    if (this.stopped) return;
    const mayEndHead = this.needed > 0 || this.endsHead(chunk);
    this.chunks.push(chunk);
    this.buffered += chunk.length;
    if (this.buffered < this.needed) return; // a large body is joined once, not at every chunk
    if (!mayEndHead && this.buffered <= HEAD_LIMIT) return; // and so is a head that comes in very small pieces
    const data = this.chunks.length === 1 ? chunk : Buffer.concat(this.chunks, this.buffered);
    const used = this.read(data);
    this.buffered = data.length - used;
    this.chunks = this.buffered === 0 || this.stopped ? [] : [data.subarray(used)];
  }

  /** Whether a blank line ends within this chunk, or by it. */
  private endsHead(chunk: Buffer): boolean {
    return chunk.includes(BLANK_LINE) || (chunk[0] === NEW_LINE && this.chunks.at(-1)?.at(-1) === NEW_LINE);
  }

  /** @returns how many bytes whole frames took. */
  private read(data: Buffer): number {
    let at = 0;
    this.needed = 0;
    while (!this.stopped) {
      while (data[at] === NEW_LINE) at++; // blank lines between frames
      const headEnd = data.indexOf(BLANK_LINE, at);
      const headBytes = headEnd < 0 ? data.length - at - BLANK_LINE.length + 1 : headEnd - at;
      if (headBytes > HEAD_LIMIT) throw new EslError('bad_reply', 'The node sent a head without an end');
      if (headEnd < 0) break;
      const bodyStart = headEnd + 2;
      const event = EVENT_HEAD.exec(data.toString('latin1', at, headEnd)); // nearly every frame looks like this
      const headers = event ? NO_HEADERS : parseHead(data.toString('utf8', at, headEnd));
      const length = bodyLength(event ? event[1] : headers.get('content-length'));
      if (data.length - bodyStart < length) {
        this.needed = bodyStart - at + length;
        break;
      }
      at = bodyStart + length;
      this.onFrame({
        contentType: event ? 'text/event-json' : (headers.get('content-type') ?? ''),
        headers,
        body: length > 0 ? data.subarray(bodyStart, at) : undefined,
      });
    }
    return at;
  }
}
