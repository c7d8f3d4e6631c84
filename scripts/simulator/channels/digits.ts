/** `play_and_get_digits`: plays, and takes the keys a person presses, as many times as the plan allows. */
import type { NodeCore } from '../node-context';
import type { Leg } from './channel';
import { soundLengthMs } from '../conference/sounds';

/** From the prompt's beginning to the first key of a person who knows what to press. */
const PRESS_AFTER_MS = 20;

/** @param data `min max tries timeout terminators file invalid_file variable regexp [digit_timeout]` */
export async function collectDigits(core: NodeCore, leg: Leg, data: string): Promise<void> {
  const [min, max, tries, timeout, terminators = '', file = '', invalidFile = '', variable = '', regexp = ''] =
    data.split(' ');
  const limits = { min: Number(min), max: Number(max), timeoutMs: Number(timeout), terminators };
  const run = leg.run;
  leg.variables.set('read_result', 'timeout');
  for (let left = Number(tries) || 1; left > 0; left -= 1) {
    const entry = await takeEntry(core, leg, limits, soundLengthMs(file) ?? 0);
    if (leg.isOver || leg.run !== run) return;
    if (entry !== undefined && entry.length >= limits.min && matches(regexp, entry)) {
      leg.variables.set(variable, entry);
      leg.variables.set('read_result', 'success');
      return;
    }
    if (entry !== undefined) {
      leg.variables.set(`${variable}_invalid`, entry);
      leg.variables.set('read_result', 'failure');
    }
    await new Promise<void>((done) => void core.later(soundLengthMs(invalidFile) ?? 0, done));
  }
}

function matches(regexp: string, digits: string): boolean {
  try {
    return regexp === '' || new RegExp(regexp).test(digits);
  } catch {
    return false;
  }
}

/** @returns what was pressed before the terminator; undefined where nothing was */
function takeEntry(
  core: NodeCore,
  leg: Leg,
  o: { max: number; timeoutMs: number; terminators: string },
  promptMs: number,
): Promise<string | undefined> {
  const next = leg.person?.().digits?.shift();
  if (next !== undefined) core.later(PRESS_AFTER_MS, () => press(leg, next));
  return new Promise((done) => {
    const finish = (entry: string | undefined): void => {
      stop();
      leg.onDigits = undefined;
      done(entry);
    };
    const look = (): void => {
      const at = [...leg.digits].findIndex((c) => o.terminators.includes(c));
      const full = leg.digits.length >= o.max;
      if (at < 0 && !full) return;
      const end = at >= 0 && at <= o.max ? at : o.max;
      const entry = leg.digits.slice(0, end);
      leg.digits = leg.digits.slice(at === end ? end + 1 : end);
      finish(entry);
    };
    const stop = core.later(promptMs + o.timeoutMs, () => {
      const entry = leg.digits === '' ? undefined : leg.digits;
      leg.digits = '';
      finish(entry);
    });
    leg.onEnd.push(() => finish(undefined));
    leg.onDigits = look;
    look();
  });
}

/** Keys reach whoever waits for them, or wait themselves. */
export function press(leg: Leg, digits: string): void {
  leg.digits += digits;
  leg.onDigits?.();
}
