/** Asks a node how a channel's sound and video arrive: counters of its RTP, taken without noise on the event stream. */
import type { ApiCommand } from '../commands/commands';
import { assertToken } from '../escape';

/** What arrived at the node since the channel began. What the far end receives, and how long it takes, is not told. */
export interface StreamCounters {
  packets: number;
  /** Packets missing by their numbers, and one more for each that follows another missing one. */
  flaws: number;
  bytes: number;
}

export interface MediaCounters {
  audio: StreamCounters | null;
  video: StreamCounters | null;
  /** Mean opinion score over the whole channel, 1 to 4.5, reckoned by FreeSWITCH from flaws alone. */
  mos: number | null;
}

/** Copies the counters into the channel's variables; the answer says only that the channel is there. */
export const copyMediaCounters = (legId: string): ApiCommand => ({
  line: `uuid_set_media_stats ${assertToken(legId, 'legId')}`,
});

const NAMES = ['packet_count', 'flaw_total', 'media_bytes'];
const VARIABLES = [
  ...['audio', 'video'].flatMap((kind) => NAMES.map((n) => `rtp_${kind}_in_${n}`)),
  'rtp_audio_in_mos',
];
const EXPRESSION = VARIABLES.map((name) => `\${variable_${name}}`).join(';');

/**
 * The copied counters in one short line; parseMediaCounters() reads it. The JSON command mediaStats would do both in
 * one, but takes a little of the channel's memory each time and gives it back only at the end.
 */
export const readMediaCounters = (legId: string): ApiCommand => ({
  line: `eval uuid:${assertToken(legId, 'legId')} ${EXPRESSION}`,
});

/** @returns undefined where the answer is none. A channel without video has no counters of one. */
export function parseMediaCounters(reply: string): MediaCounters | undefined {
  const fields = reply.trim().split(';');
  if (fields.length !== VARIABLES.length) return undefined;
  const stream = (from: number): StreamCounters | null => {
    const [packets, flaws, bytes] = fields.slice(from, from + 3).map((f) => (f === '' ? NaN : Number(f)));
    return [packets, flaws, bytes].every(Number.isFinite) ? { packets: packets!, flaws: flaws!, bytes: bytes! } : null;
  };
  const mos = fields[6] === '' ? NaN : Number(fields[6]);
  return { audio: stream(0), video: stream(3), mos: Number.isFinite(mos) ? mos : null };
}
