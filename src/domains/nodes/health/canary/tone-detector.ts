/** Looks for one tone in recorded sound: pure, so that what counts as heard can be read and tested. */
import type { Sound } from '../../../../infra/wav';

/** Goertzel: which part of the power from `from` on is of this frequency; 0 in silence, about 1 for the tone alone. */
function toneShare(sound: Sound, hz: number, from: number, length: number): { share: number; power: number } {
  const coefficient = 2 * Math.cos((2 * Math.PI * hz) / sound.rate);
  let [before, last, sum] = [0, 0, 0];
  for (let i = from; i < from + length; i += 1) {
    const sample = sound.samples[i]!;
    const now = sample + coefficient * last - before;
    before = last;
    last = now;
    sum += sample * sample;
  }
  const power = sum / length;
  if (power === 0) return { share: 0, power: 0 };
  const found = last * last + before * before - coefficient * last * before;
  return { share: (2 * found) / (length * length) / power, power };
}

export interface HeardTone {
  /** How long it was there in all. */
  toneMs: number;
  /** From the beginning of the sound; null where it never came. */
  onsetMs: number | null;
  /** Mean loudness while it was there, or of the whole where it was not; 0 is the loudest there can be. */
  levelDb: number | null;
  lengthMs: number;
}

const WINDOW_MS = 40;
/** Coding and resampling leave more than this of a pure tone; other tones and noise leave next to nothing. */
const LEAST_SHARE = 0.5;
/** Below about -54 dB nobody hears it. */
const LEAST_POWER = 4e-6;

/** @param hz the frequency that was played */
export function findTone(sound: Sound, hz: number): HeardTone {
  const length = Math.round((sound.rate * WINDOW_MS) / 1000);
  const lengthMs = Math.round((1000 * sound.samples.length) / sound.rate);
  let windows = 0;
  let onsetMs: number | null = null;
  let [heard, all, count] = [0, 0, 0];
  for (let from = 0; from + length <= sound.samples.length; from += length) {
    const { share, power } = toneShare(sound, hz, from, length);
    all += power;
    count += 1;
    if (share < LEAST_SHARE || power < LEAST_POWER) continue;
    windows += 1;
    heard += power;
    onsetMs ??= Math.round((1000 * from) / sound.rate);
  }
  const mean = windows > 0 ? heard / windows : count > 0 ? all / count : 0;
  const levelDb = mean > 0 ? Math.round(100 * Math.log10(mean)) / 10 : null;
  return { toneMs: windows * WINDOW_MS, onsetMs, levelDb, lengthMs };
}
