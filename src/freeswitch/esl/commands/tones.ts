/**
 * Tones as a person may write them, read into values and written again: nothing that was not understood reaches a node.
 * mod_tone_stream renders everything when it opens a stream, two bytes a sample, so what is not bounded here is memory of
 * the node: `%(1000000,0,440)` is 92 MB, `l=-1` never ends (libteletone_generate.c, teletone_run).
 */

export interface Tone {
  onMs: number;
  offMs: number;
  /** Sounded together. */
  hertz: number[];
  /** From here on; as before where it is left out. */
  levelDb?: number;
  /** How often it is rendered before the next one. */
  times: number;
}

export interface Tones {
  tones: Tone[];
  /** How often the whole is rendered, one after the other. */
  passes: number;
  /** How often what was rendered is played; this costs no memory. */
  loops: number;
}

/** What one stream of tones may be. */
export const TONE_LIMITS = {
  /** Characters, as they are written. */
  length: 256,
  renderedMs: 60_000,
  /** Single tones rendered, and how often the whole is played. */
  loops: 1000,
  lowestHz: 1,
  highestHz: 20_000,
  /** Sounded together; libteletone would take 18. */
  frequencies: 8,
  /** libteletone knows no other levels. */
  lowestDb: -63,
  highestDb: 0,
} as const;

/** The keys of a telephone. libteletone has 859 Hz for the third row, where Q.23 says 852: so it sounds there. */
const KEYS: Readonly<Record<string, readonly [number, number]>> = {
  '1': [697, 1209],
  '2': [697, 1336],
  '3': [697, 1477],
  A: [697, 1633],
  '4': [770, 1209],
  '5': [770, 1336],
  '6': [770, 1477],
  B: [770, 1633],
  '7': [859, 1209],
  '8': [859, 1336],
  '9': [859, 1477],
  C: [859, 1633],
  '*': [941, 1209],
  '0': [941, 1336],
  '#': [941, 1477],
  D: [941, 1633],
};

/** libteletone's own, at 8 kHz. */
const DEFAULTS = { onMs: 250, offMs: 62, levelDb: -7 };

export type ReadTones = { tones: Tones } | { fault: string };

class ToneFault extends Error {}
function fail(what: string): never {
  throw new ToneFault(what);
}

/**
 * Reads `%(on,off,hertz…)`, a telephone's keys with or without `(on,off)`, and between semicolons `v=` (dB), `d=` and
 * `w=` (on and off of keys that say none, ms), `l=` (how often the next tone), `L=` (how often the whole is rendered) and
 * `loops=` (how often it is played). Everything else, `path=` above all, is a fault.
 */
export function readTones(text: string): ReadTones {
  try {
    const tones = read(text);
    checkTogether(tones);
    return { tones };
  } catch (error) {
    if (error instanceof ToneFault) return { fault: error.message };
    throw error;
  }
}

/** What is written for a node: each number stands there, and nothing depends on what a node takes for granted. */
export function writeTones({ tones, passes, loops }: Tones): string {
  const parts: string[] = [];
  if (passes > 1) parts.push(`L=${passes}`);
  // A pass would begin with the level that the one before ended with.
  if (passes > 1 && tones[0]?.levelDb === undefined) parts.push(`v=${DEFAULTS.levelDb}`);
  for (const tone of tones) {
    if (tone.levelDb !== undefined) parts.push(`v=${tone.levelDb}`);
    if (tone.times > 1) parts.push(`l=${tone.times}`);
    parts.push(`%(${[tone.onMs, tone.offMs, ...tone.hertz].join(',')})`);
  }
  if (loops > 1) parts.push(`loops=${loops}`);
  return parts.join(';');
}

export const renderedMs = ({ tones, passes }: Tones): number =>
  passes * tones.reduce((sum, tone) => sum + tone.times * (tone.onMs + tone.offMs), 0);

export const playedMs = (tones: Tones): number => tones.loops * renderedMs(tones);

/** What the tones read so far have set for those that follow. */
interface Subscription {
  found: Tones;
  onMs: number;
  offMs: number;
  times: number;
  levelDb?: number;
}

function read(text: string): Tones {
  if (text.length > TONE_LIMITS.length) fail(`must have ${TONE_LIMITS.length} characters at most`);
  const reading: Subscription = {
    ...DEFAULTS,
    levelDb: undefined,
    times: 1,
    found: { tones: [], passes: 1, loops: 1 },
  };
  for (const part of text.split(';')) {
    const directive = /^([A-Za-z]+)=(.*)$/.exec(part);
    if (directive) readDirective(reading, directive[1]!, directive[2]!);
    else readSounds(reading, part);
  }
  return reading.found;
}

function readDirective(reading: Subscription, name: string, value: string): void {
  switch (name) {
    case 'v':
      reading.levelDb = readNumber(value, TONE_LIMITS.lowestDb, TONE_LIMITS.highestDb, 'v');
      return;
    case 'd':
      reading.onMs = readMs(value, 'd');
      return;
    case 'w':
      reading.offMs = readMs(value, 'w');
      return;
    case 'l':
      reading.times = readCount(value, 'l');
      return;
    case 'L':
      reading.found.passes = readCount(value, 'L');
      return;
    case 'loops':
      reading.found.loops = readCount(value, 'loops');
      return;
    default:
      fail(`${name}= is not known: v, d, w, l, L and loops are`);
  }
}

const SOUND = /^(?:%\(([0-9.,]*)\)|([0-9A-D*#])(?:\((\d+),(\d+)\))?)/;

/** One or more tones that stand together without a semicolon. */
function readSounds(reading: Subscription, part: string): void {
  if (part === '') fail('must hold a tone between two semicolons, and none at the end: %(500,500,440)');
  let rest = part;
  while (rest !== '') {
    const sound = SOUND.exec(rest);
    if (!sound) fail(`has something that is no tone: ${JSON.stringify(rest.slice(0, 20))}`);
    const [all, inside, key, on, off] = sound;
    addTone(reading, inside === undefined ? keyTone(reading, key!, on, off) : writtenTone(inside));
    rest = rest.slice(all.length);
  }
}

type Sound = Pick<Tone, 'onMs' | 'offMs' | 'hertz'>;

function keyTone(reading: Subscription, key: string, on: string | undefined, off: string | undefined): Sound {
  return {
    onMs: on === undefined ? reading.onMs : readMs(on, 'on'),
    offMs: off === undefined ? reading.offMs : readMs(off, 'off'),
    hertz: [...KEYS[key]!],
  };
}

function writtenTone(inside: string): Sound {
  const [on = '', off = '', ...hertz] = inside.split(',');
  if (hertz.length === 0) fail('must say on, off and a frequency of each tone: %(500,500,440)');
  if (hertz.length > TONE_LIMITS.frequencies) fail(`must have ${TONE_LIMITS.frequencies} frequencies at once at most`);
  const { lowestHz, highestHz } = TONE_LIMITS;
  return {
    onMs: readMs(on, 'on'),
    offMs: readMs(off, 'off'),
    hertz: hertz.map((one) => readNumber(one, lowestHz, highestHz, 'a frequency')),
  };
}

function addTone(reading: Subscription, sound: Sound): void {
  if (sound.onMs + sound.offMs === 0) fail('must not hold a tone without length');
  const level = reading.levelDb === undefined ? {} : { levelDb: reading.levelDb };
  reading.found.tones.push({ ...sound, times: reading.times, ...level });
  reading.times = 1;
  reading.levelDb = undefined;
}

function checkTogether(tones: Tones): void {
  if (tones.tones.length === 0) fail('must hold a tone: %(500,500,440)');
  const single = tones.passes * tones.tones.reduce((sum, tone) => sum + tone.times, 0);
  if (single > TONE_LIMITS.loops) fail(`must make ${TONE_LIMITS.loops} tones at most, with l= and L=`);
  const seconds = TONE_LIMITS.renderedMs / 1000;
  if (renderedMs(tones) > TONE_LIMITS.renderedMs) {
    fail(`must be ${seconds} seconds long at most, pauses, l= and L= counted in; loops= may play it again`);
  }
}

const readMs = (text: string, what: string): number =>
  /^\d+$/.test(text)
    ? readNumber(text, 0, TONE_LIMITS.renderedMs, what)
    : fail(`must say ${what} in whole milliseconds, and says ${JSON.stringify(text.slice(0, 20))}`);

const readCount = (text: string, what: string): number =>
  /^\d+$/.test(text)
    ? readNumber(text, 1, TONE_LIMITS.loops, what)
    : fail(`must say ${what} as a whole number, and says ${JSON.stringify(text.slice(0, 20))}`);

/** Digits and at most two behind the point: what C's atof reads is the same number then. */
function readNumber(text: string, from: number, to: number, what: string): number {
  const value = /^-?\d{1,9}(\.\d{1,2})?$/.test(text) ? Number(text) : NaN;
  if (value >= from && value <= to) return value;
  return fail(`must have ${what} between ${from} and ${to}, and has ${JSON.stringify(text.slice(0, 20))}`);
}
