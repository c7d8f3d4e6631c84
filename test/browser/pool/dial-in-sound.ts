/** The sound of a telephone in tests: a tone in PCMU, and digits as telephones send them (RFC 4733). */
import { randomInt } from 'node:crypto';
import type { Socket } from 'node:dgram';

export const FRAME_MS = 20;
const FRAME_BYTES = 160;
const HEADER_BYTES = 12;
const EVENT_TYPE = 101;
const DIGITS = '0123456789*#';
/** Pieces in which a digit is sent; from the sixth on they say that it is over. */
const DIGIT_PIECES = 8;
const LAST_PIECES_FROM = 5;

/** 440 Hz in µ-law, a frame at a time. */
function toneFrame(from: number): Buffer {
  return Buffer.from(
    Array.from({ length: FRAME_BYTES }, (_, i) =>
      encodeMuLaw(8000 * Math.sin(((from + i) * 440 * 2 * Math.PI) / 8000)),
    ),
  );
}

/** ITU-T G.711. */
function encodeMuLaw(sample: number): number {
  const magnitude = Math.min(Math.abs(Math.round(sample)), 32_635) + 132;
  const exponent = Math.max(0, 24 - Math.clz32(magnitude));
  const mantissa = (magnitude >> (exponent + 3)) & 0x0f;
  return ~((sample < 0 ? 0x80 : 0) | (exponent << 4) | mantissa) & 0xff;
}

/** True for a packet of PCMU that is more than silence. */
export const isLoud = (packet: Buffer): boolean =>
  (packet[1]! & 0x7f) === 0 && packet.subarray(HEADER_BYTES).some((byte) => (byte & 0x7f) < 0x60);

/** Sends a frame each 20 ms until its timer is cleared: the tone, or the next piece of a digit of the queue. */
export function startSound(rtp: Socket, to: { host: string; port: number }, digits: string[]): NodeJS.Timeout {
  let sequence = randomInt(2 ** 15);
  let at = randomInt(2 ** 30);
  let digit: { event: number; step: number; from: number } | undefined;
  const ssrc = randomInt(2 ** 32 - 1);
  return setInterval(() => {
    const next = digit ? undefined : digits.shift();
    if (next !== undefined) digit = { event: DIGITS.indexOf(next), step: 0, from: at };
    const header = Buffer.alloc(HEADER_BYTES);
    header[0] = 0x80;
    header.writeUInt16BE((sequence += 1) & 0xffff, 2);
    header.writeUInt32BE(digit?.from ?? at, 4);
    header.writeUInt32BE(ssrc, 8);
    let payload = toneFrame(at);
    if (digit) {
      const { event, step } = digit;
      header[1] = (step === 0 ? 0x80 : 0) | EVENT_TYPE;
      payload = Buffer.from([event, (step >= LAST_PIECES_FROM ? 0x80 : 0) | 10, 0, 0]);
      payload.writeUInt16BE(Math.min(step + 1, LAST_PIECES_FROM + 1) * FRAME_BYTES, 2);
      digit = step === DIGIT_PIECES - 1 ? undefined : { ...digit, step: step + 1 };
    }
    at += FRAME_BYTES;
    rtp.send(Buffer.concat([header, payload]), to.port, to.host);
  }, FRAME_MS);
}

/** Its offer, and its answer to a change inside the call. */
export function describeSound(host: string, port: number): string {
  return [
    'v=0',
    `o=- ${Date.now()} 1 IN IP4 ${host}`,
    's=-',
    `c=IN IP4 ${host}`,
    't=0 0',
    `m=audio ${port} RTP/AVP 0 ${EVENT_TYPE}`,
    'a=rtpmap:0 PCMU/8000',
    `a=rtpmap:${EVENT_TYPE} telephone-event/8000`,
    `a=fmtp:${EVENT_TYPE} 0-16`,
    'a=ptime:20',
    '',
  ].join('\r\n');
}
