/** Says how long a leg may go on without a packet before its node ends it, by what kind of phone is at its other end. */

/** A page keeps asking its node whether it is there (STUN), muted, held or without a camera; a telephone may fall silent. */
export type PhoneKind = 'browser' | 'telephone';

export interface MediaTimeouts {
  browserMs: number;
  telephoneMs: number;
  /** Of a telephone that is on hold. */
  heldTelephoneMs: number;
}

/**
 * What a leg carries. mod_sofia counts any packet of the sound's port, STUN as well (switch_rtp.c 5922). So a page that
 * lives is always heard of, also while it holds, and no other time is needed for that.
 */
export function mediaTimeoutVariables(kind: PhoneKind, timeouts: MediaTimeouts): readonly string[] {
  const [talkingMs, heldMs] =
    kind === 'browser' ? [timeouts.browserMs, timeouts.browserMs] : [timeouts.telephoneMs, timeouts.heldTelephoneMs];
  return [`media_timeout_audio=${Math.floor(talkingMs)}`, `media_hold_timeout_audio=${Math.floor(heldMs)}`];
}

/** By its offer: who does ICE answers and sends STUN for as long as it lives. */
export const kindOfOffer = (sdp: string): PhoneKind =>
  /^a=ice-ufrag:/m.test(sdp) && /^a=fingerprint:/m.test(sdp) ? 'browser' : 'telephone';

/** By the way it registered, since a phone that is rung has not said anything yet: mod_sofia offers WebRTC over WebSocket. */
export const kindOfTransport = (transport: string): PhoneKind => (/^wss?$/.test(transport) ? 'browser' : 'telephone');

/** The plan, for a channel that ends so long after its phone was last heard of. */
export function withMediaTimeout(plan: string, kind: PhoneKind, timeouts: MediaTimeouts): string {
  const actions = mediaTimeoutVariables(kind, timeouts).map((data) => `<action application="set" data="${data}"/>`);
  return plan.replace(/<condition>/, `<condition>${actions.join('')}`);
}
