/** Keeps what a phone or a node writes into a registration within bounds: it goes into an index, and into a command. Pure. */
import type { RegisteredEvent } from '../../freeswitch/esl';

/** The one profile at which phones register. */
const PROFILE = 'internal';
const LONGEST_CALL_ID = 255;
const LONGEST_CONTACT = 1024;
const LONGEST_AGENT = 512;

export function isPlausible(
  found: Pick<RegisteredEvent, 'profile' | 'sipCallId' | 'contact' | 'userAgent' | 'networkIp' | 'transport'>,
): boolean {
  return (
    found.profile === PROFILE &&
    found.sipCallId.length > 0 &&
    found.sipCallId.length <= LONGEST_CALL_ID &&
    found.contact.length <= LONGEST_CONTACT &&
    found.userAgent.length <= LONGEST_AGENT &&
    found.networkIp.length <= 64 &&
    found.transport.length <= 16
  );
}
