/** What a request may ask to be played, as schemas: routes of calls and of rooms take the same. */
import { z } from 'zod';
import { readTones, TONE_LIMITS } from '../../freeswitch/esl';

const SOUND_FILE = /^[A-Za-z0-9_-]+(\/[A-Za-z0-9_-]+)*\.(wav|mp3|opus)$/;
const TONES = 'tone_stream://';

const TONES_HELP =
  'Tones as FreeSWITCH writes them: %(on ms, off ms, hertz…) or the keys of a telephone, between semicolons; ' +
  'v=-20 sets the level in dB, l=3 renders the next tone three times, L=3 the whole, and loops=3 at the end plays it three times. ' +
  `What is rendered may be ${TONE_LIMITS.renderedMs / 1000} seconds long.`;

export const soundFile = z
  .string()
  .max(256)
  .regex(SOUND_FILE, "must be a path below the node's sounds folder, like music/hold.wav");

function checkTones(text: string, ctx: z.RefinementCtx): void {
  const found = readTones(text);
  if ('fault' in found) ctx.addIssue({ code: 'custom', message: found.fault });
}

export const tones = z.string().superRefine(checkTones).meta({ maxLength: TONE_LIMITS.length }).describe(TONES_HELP);

/** Either, in one field. */
export const soundOrTones = z
  .string()
  .superRefine((text, ctx) => {
    if (text.startsWith(TONES)) return checkTones(text.slice(TONES.length), ctx);
    if (text.length <= 256 && SOUND_FILE.test(text)) return;
    ctx.addIssue({ code: 'custom', message: "must be tone_stream://… or a path below the node's sounds folder" });
  })
  .meta({ maxLength: TONE_LIMITS.length + TONES.length })
  .describe(`A path below the node's sounds folder, or tone_stream:// and tones. ${TONES_HELP}`);
