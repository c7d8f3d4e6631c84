/** What a phone says and how it describes that: PCMU, digits as telephones send them (RFC 4733), and SDP. */
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

const SILENCE = Buffer.alloc(FRAME_BYTES, 0xff);

/** Sends a frame each 20 ms until its timer is cleared: the next piece of a digit of the queue, else tone or silence. */
export function startSound(
  rtp: Socket,
  to: { host: string; port: number },
  o: { digits: string[]; isTone: boolean },
): NodeJS.Timeout {
  let sequence = randomInt(2 ** 15);
  let at = randomInt(2 ** 30);
  let digit: { event: number; step: number; from: number } | undefined;
  const ssrc = randomInt(2 ** 32 - 1);
  return setInterval(() => {
    const next = digit ? undefined : o.digits.shift();
    if (next !== undefined) digit = { event: DIGITS.indexOf(next), step: 0, from: at };
    const header = Buffer.alloc(HEADER_BYTES);
    header[0] = 0x80;
    header.writeUInt16BE((sequence += 1) & 0xffff, 2);
    header.writeUInt32BE(digit?.from ?? at, 4);
    header.writeUInt32BE(ssrc, 8);
    let payload = o.isTone ? toneFrame(at) : SILENCE;
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

/** Where the other side wants its sound. */
export function soundAddress(sdp: string): { host: string; port: number } | undefined {
  const port = Number(/^m=audio (\d+)/m.exec(sdp)?.[1] ?? 0);
  return port === 0 ? undefined : { host: /^c=IN IP[46] (\S+)/m.exec(sdp)?.[1] ?? '127.0.0.1', port };
}

function sessionOf(host: string): string[] {
  const address = `IN ${host.includes(':') ? 'IP6' : 'IP4'} ${host}`;
  return ['v=0', `o=- ${Date.now()} 1 ${address}`, 's=-', `c=${address}`, 't=0 0'];
}

/** An offer of sound. */
export function offerSound(host: string, port: number): string {
  return [
    ...sessionOf(host),
    `m=audio ${port} RTP/AVP 0 ${EVENT_TYPE}`,
    'a=rtpmap:0 PCMU/8000',
    `a=rtpmap:${EVENT_TYPE} telephone-event/8000`,
    `a=fmtp:${EVENT_TYPE} 0-16`,
    'a=ptime:20',
    '',
  ].join('\r\n');
}

/** Takes PCMU, and VP8 where the phone has video; every other line of the offer is declined. */
export function answerOffer(offer: string, at: { host: string; port: number }, withVideo: boolean): string {
  const vp8 = /a=rtpmap:(\d+) VP8\/90000/i.exec(offer)?.[1];
  const lines = offer.split(/\r?\n/).filter((line) => line.startsWith('m='));
  const media = (lines.length > 0 ? lines : ['m=audio 0 RTP/AVP 0']).flatMap((line) => {
    const [kind, , transport = 'RTP/AVP', first = '0'] = line.slice(2).split(' ');
    if (kind === 'audio') return [`m=audio ${at.port} RTP/AVP 0`, 'a=rtpmap:0 PCMU/8000', 'a=ptime:20', 'a=sendrecv'];
    if (kind === 'video' && withVideo && vp8)
      return [`m=video ${at.port + 2} ${transport} ${vp8}`, `a=rtpmap:${vp8} VP8/90000`];
    return [`m=${kind} 0 ${transport} ${first}`];
  });
  return [...sessionOf(at.host), ...media, ''].join('\r\n');
}
