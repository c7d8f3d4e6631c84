/** Reads one field of an event: whatever a node wrote there, it comes out as text, or as a number that can be kept. */

/** An event as the node wrote it: names to strings, or to lists of them. */
export type RawEvent = Readonly<Record<string, unknown>>;

/** The largest whole event that was seen had 16 kB. What is written for many nodes at once must not wait for one long word. */
const LONGEST = 16_384;

/** @returns at most its first 16 kB, and no half character */
export function text(raw: RawEvent, name: string): string {
  const whole = wholeText(raw, name);
  return whole.length <= LONGEST ? whole : whole.slice(0, LONGEST).replace(/[\ud800-\udbff]$/, '');
}

/** However long it is: the answer of a command. */
export function wholeText(raw: RawEvent, name: string): string {
  const value = raw[name];
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return value.filter((part) => typeof part !== 'object').join(',');
  return typeof value === 'number' ? String(value) : '';
}

export const maybe = (raw: RawEvent, name: string): string | undefined => text(raw, name) || undefined;

/** Through its text: an object has no number, and asking for one may throw. */
export function count(raw: RawEvent, name: string): number {
  const n = Number(text(raw, name));
  return Number.isFinite(n) ? n : 0;
}

/** What a column of whole numbers holds. */
const MOST = 2_147_483_647;

/** @returns 0 for what is no number of something */
export function whole(raw: RawEvent, name: string, most = MOST): number {
  const n = Math.trunc(count(raw, name));
  return n >= 0 && n <= most ? n : 0;
}

/** The last moment that a Date holds. */
export const LAST_MS = 8.64e15;

/** @returns 0 for what is no moment */
function millisecondsOf(micros: number): number {
  const ms = Math.floor(micros / 1000);
  return ms >= 0 && ms <= LAST_MS ? ms : 0;
}

/** When the node made the event, by its own clock; 0 where it does not say. */
export const atMs = (raw: RawEvent): number => millisecondsOf(count(raw, 'Event-Date-Timestamp'));

/** FreeSWITCH writes microseconds, and 0 for "not yet". */
export function moment(raw: RawEvent, name: string): number | undefined {
  return millisecondsOf(count(raw, name)) || undefined;
}

/** @returns 0 for what is no duration */
export function wholeMs(written: string): number {
  const ms = Math.round(Number(written));
  return ms >= 0 && ms <= LAST_MS ? ms : 0;
}
