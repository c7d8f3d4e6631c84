/** Turns the settings into the times after which a node gives up a phone that it does not hear any more. */
import type { Config } from '../../../config';
import type { MediaTimeouts } from '../../../freeswitch/xml';

/** The control plane ends what is held for too long, and says why; a node only does where nobody has for so long. */
const HOLD_MARGIN_MS = 600_000;

export const readMediaTimeouts = (
  config: Pick<Config, 'mediaTimeoutBrowserSeconds' | 'mediaTimeoutPhoneSeconds' | 'holdLimitMinutes'>,
): MediaTimeouts => ({
  browserMs: config.mediaTimeoutBrowserSeconds * 1000,
  telephoneMs: config.mediaTimeoutPhoneSeconds * 1000,
  heldTelephoneMs: config.holdLimitMinutes * 60_000 + HOLD_MARGIN_MS,
});
