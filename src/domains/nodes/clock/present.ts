/** A node's clock as the API shows it. */
import { z } from 'zod';
import { CLOCK } from '../limits';
import { explainClock, type ClockRow } from './judge';

export const clockSchema = z.object({
  offsetMs: z
    .number()
    .nullable()
    .describe("Milliseconds the node's clock is ahead of Switchyard's; negative: behind; null: not measured yet"),
  skewed: z.boolean().describe('Above the limit. The node still serves: its times are corrected.'),
  limitMs: z.number(),
  measuredAt: z.iso.datetime().nullable(),
  note: z.string().nullable().describe('What is wrong, and what happens next.'),
});

export const presentClock = (clock: ClockRow | null): z.output<typeof clockSchema> => ({
  offsetMs: clock?.offsetMs ?? null,
  skewed: clock?.isSkewed ?? false,
  limitMs: CLOCK.limitMs,
  measuredAt: clock?.measuredAt ?? null,
  note: explainClock(clock),
});
