/** `play_and_get_digits`: plays, and takes the keys a person presses, as many times as the plan allows. */
import type { NodeContext } from '../node-context';
import type { Channel } from './channel';
import { soundLengthMs } from '../conference/sounds';

/** From the prompt's beginning to the first key of a person who knows what to press. */
const PRESS_AFTER_MS = 20;

/** @param data `min max tries timeout terminators file invalid_file variable regexp [digit_timeout]` */
export async function collectDigits(node: NodeContext, channel: Channel, data: string): Promise<void> {
  const [min, max, tries, timeout, terminators = '', file = '', invalidFile = '', variable = '', regexp = ''] =
    data.split(' ');
  const limits = { min: Number(min), max: Number(max), timeoutMs: Number(timeout), terminators };
  const run = channel.run;
  channel.variables.set('read_result', 'timeout');
  for (let left = Number(tries) || 1; left > 0; left -= 1) {
    const entry = await readEntry(node, channel, limits, soundLengthMs(file) ?? 0);
    if (channel.isOver || channel.run !== run) return;
    if (entry !== undefined && entry.length >= limits.min && matches(regexp, entry)) {
      channel.variables.set(variable, entry);
      channel.variables.set('read_result', 'success');
      return;
    }
    if (entry !== undefined) {
      channel.variables.set(`${variable}_invalid`, entry);
      channel.variables.set('read_result', 'failure');
    }
    await new Promise<void>((done) => void node.later(soundLengthMs(invalidFile) ?? 0, done));
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
function readEntry(
  node: NodeContext,
  channel: Channel,
  o: { max: number; timeoutMs: number; terminators: string },
  promptMs: number,
): Promise<string | undefined> {
  const next = channel.person?.().digits?.shift();
  if (next !== undefined) node.later(PRESS_AFTER_MS, () => press(channel, next));
  return new Promise((done) => {
    const finish = (entry: string | undefined): void => {
      stop();
      channel.onDigits = undefined;
      done(entry);
    };
    const check = (): void => {
      const at = [...channel.digits].findIndex((c) => o.terminators.includes(c));
      const full = channel.digits.length >= o.max;
      if (at < 0 && !full) return;
      const end = at >= 0 && at <= o.max ? at : o.max;
      const entry = channel.digits.slice(0, end);
      channel.digits = channel.digits.slice(at === end ? end + 1 : end);
      finish(entry);
    };
    const stop = node.later(promptMs + o.timeoutMs, () => {
      const entry = channel.digits === '' ? undefined : channel.digits;
      channel.digits = '';
      finish(entry);
    });
    channel.onEnd.push(() => finish(undefined));
    channel.onDigits = check;
    check();
  });
}

/** Keys reach whoever waits for them, or wait themselves. */
export function press(channel: Channel, digits: string): void {
  channel.digits += digits;
  channel.onDigits?.();
}
