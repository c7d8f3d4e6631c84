/** Judges a node's clock, and says whether it can be set now and who has to: pure, with the limits in limits.ts. */
import { describeOffset } from '../../../infra/store-clock';
import { CLOCK } from '../limits';
import type { NodeClock } from './node-clock';

/** What keeps a wrong clock from being right. */
export type ClockHindrance =
  | 'calls' // FreeSWITCH sets it when its last channel has ended
  | 'phones' // setting it forward would end their registrations
  | 'machine'; // it was read again, and is as wrong: the machine's own is

/** What is written down of a node's clock. */
export interface ClockRow extends NodeClock {
  /** Past the limit; the node serves all the same. */
  isSkewed: boolean;
  /** ISO 8601, by our clock. */
  measuredAt: string;
  hindrance: ClockHindrance | null;
}

/** Past the limit it is wrong, and right again only well below: else one at the limit would be said again and again. */
export const isSkewed = (wasSkewed: boolean, offsetMs: number): boolean =>
  Math.abs(offsetMs) > (wasSkewed ? CLOCK.returnMs : CLOCK.limitMs);

/**
 * Setting it forward lets everything end at once that was to end in between, so no phone's registration may: all of them
 * outlive a short step, since FreeSWITCH keeps each a minute longer than it says.
 */
export function decideSync(o: { offsetMs: number; channels: number; phones: number }): 'now' | 'when idle' | 'phones' {
  const isFarSlow = o.offsetMs < -CLOCK.forwardMs;
  if (!isFarSlow) return o.channels > 0 ? 'when idle' : 'now';
  if (o.phones > 0) return 'phones';
  return o.channels > 0 ? 'when idle' : 'now';
}

const CURES: Record<ClockHindrance, string> = {
  calls: 'it is set when its last call has ended',
  phones:
    'setting it would end the registrations of its phones: drain the node and restart FreeSWITCH, or run "fsctl sync_clock" on it yourself',
  machine: "FreeSWITCH has read it again: the machine's own clock is wrong. Set it (NTP)",
};

/** One sentence an operator can act on; null: it is right. */
export function explainClock(clock: ClockRow | null): string | null {
  if (!clock?.isSkewed) return null;
  const what = `its clock is ${describeOffset(clock.offsetMs)}`;
  return clock.hindrance === null ? what : `${what}; ${CURES[clock.hindrance]}`;
}
