/** Keeps what a phone or a node writes into a registration within bounds: it goes into an index, and into a command. */
import type { Queryable } from '../../infra/stores/db';
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

/**
 * Whether a phone's Call-ID may stand in `flush_inbound_reg`, which takes `user@domain` or a domain alone in its place
 * (sofia_reg.c, sofia_reg_expire_call_id): by such a Call-ID a phone would have a user's phones ended, or a whole tenant's.
 */
async function namesNobody(db: Queryable, sipCallId: string): Promise<boolean> {
  const domain = sipCallId.slice(sipCallId.indexOf('@') + 1).toLowerCase();
  return (await db('domains').where({ name: domain }).first('id')) === undefined;
}

/**
 * Whether a node may be told to forget a phone by its Call-ID: it forgets every phone with that one, whoever's they are
 * and of whatever tenant. A phone that is left there for that ends with its time.
 */
export async function mayBeFlushed(db: Queryable, nodeId: string, sipCallId: string): Promise<boolean> {
  if (!(await namesNobody(db, sipCallId))) return false;
  const other = (await db('registrations').where({ node_id: nodeId, sip_call_id: sipCallId }).first('id')) as unknown;
  return other === undefined;
}
