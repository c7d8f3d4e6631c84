/** Calls that people make into a simulated node: from a phone that registered, or as a guest who only dials. */
import { randomUUID } from 'node:crypto';
import type { Calls } from './call-types';
import type { NodeContext } from '../node-context';
import { press } from './digits';
import type { Channel } from './channel';
import { checkLogin } from '../phones/logins';
import type { Registration } from '../phones/registrar';
import type { PhoneBehaviour } from '../phones/phone-behaviour';

/** What a call is made with; the phone's own behaviour where it is left out. */
export interface DialExtras extends Pick<PhoneBehaviour, 'talks' | 'video' | 'digits' | 'quality' | 'hangupAfterMs'> {
  callerName?: string;
  /** How the caller hides: by a From that is nobody's, or by a header beside their own. */
  hides?: 'from' | 'privacy';
}

export interface DialledCall {
  /** The channel's uuid; undefined where the node is gone, or let nobody in. */
  readonly channelId: string | undefined;
  readonly answered: Promise<boolean>;
  readonly ended: Promise<string>;
  hangup(): void;
  /** Its page is killed: nothing of it is heard any more, and nobody is told. */
  die(): void;
  /** Its phone puts the call on hold (a re-INVITE), or takes it back. */
  hold(on: boolean): void;
  /** Presses keys. */
  press(digits: string): void;
  /** Begins or stops to speak. */
  talk(talking: boolean): void;
}

/** Who dials, as the node's directory knows them. */
export interface Identity {
  username: string;
  domain: string;
  variables: Record<string, string>;
}

export interface GuestOptions {
  username: string;
  /** The realm it authenticates against; also the domain. */
  realm: string;
  /** MD5 of `user:realm:password`, as a grant gives it. */
  ha1: string;
  displayName?: string;
  /** Where it signals from; this machine where it is left out. */
  address?: string;
}

/** Guests take no calls: any port will do. */
const GUEST_PORT = 39_999;

export interface SimulatedGuest {
  readonly username: string;
  /** @throws Error naming the SIP status where the directory does not let it in */
  dial(number: string, extra?: DialExtras): Promise<DialledCall>;
}

/** What a page offers, as far as anybody here reads it: ICE and DTLS, sound, and video where it has a camera. */
function pageOffer(hasVideo: boolean): string {
  const media = [`m=audio 9 UDP/TLS/RTP/SAVPF 111`, ...(hasVideo ? ['m=video 9 UDP/TLS/RTP/SAVPF 96'] : [])];
  return ['v=0', 'c=IN IP4 0.0.0.0', 'a=ice-ufrag:sim', 'a=fingerprint:sha-256 00', ...media].join('\r\n');
}

interface Place {
  node: NodeContext;
  calls: Calls;
}

/** @param alive throws where the node is down */
export function createGuest(alive: () => Place, o: GuestOptions): SimulatedGuest {
  return {
    username: o.username,
    async dial(number, extra = {}) {
      const place = alive();
      if (place.node.isStandby) throw new Error(`INVITE of ${o.username}@${o.realm} got 503`);
      const user = await checkLogin(place.node, {
        method: 'INVITE',
        username: o.username,
        domain: o.realm,
        ha1: o.ha1,
        ip: o.address ?? '127.0.0.1',
        port: GUEST_PORT,
        sipCallId: `${randomUUID()}@simulated`,
        toUser: number,
      });
      if (!user) throw new Error(`INVITE of ${o.username}@${o.realm} got 403`);
      const variables = { ...user.variables, switch_r_sdp: pageOffer(extra.video === true) };
      const identity = { username: o.username, domain: o.realm, variables };
      return dialFrom(place, identity, number, { callerName: o.displayName, ...extra });
    },
  };
}

export const identityOf = (r: Registration): Identity => ({
  username: r.username,
  domain: r.domain,
  variables: r.variables,
});

export function dialFrom({ node, calls }: Place, who: Identity, number: string, extra: DialExtras): DialledCall {
  let settleAnswer: (answered: boolean) => void = () => undefined;
  let settleEnd: (cause: string) => void = () => undefined;
  const answered = new Promise<boolean>((done) => (settleAnswer = done));
  const ended = new Promise<string>((done) => (settleEnd = done));
  const person: PhoneBehaviour = { ...extra, digits: extra.digits ? [...extra.digits] : undefined };
  const from =
    extra.hides === 'from'
      ? { user: 'anonymous', host: 'anonymous.invalid', name: 'Anonymous' }
      : { user: who.username, host: who.domain, name: extra.callerName ?? who.username };
  const channel: Channel | undefined = calls.acceptCall({
    profile: 'internal',
    context: 'users',
    destination: number,
    callerName: from.name,
    callerNumber: from.user,
    variables: {
      sip_authorized: 'true',
      sip_auth_username: who.username,
      sip_auth_realm: who.domain,
      user_name: who.username,
      domain_name: who.domain,
      sip_from_user: from.user,
      sip_from_host: from.host,
      ...(extra.hides ? { sip_Privacy: 'id' } : {}),
      sip_to_host: who.domain,
      presence_id: `${who.username}@${who.domain}`,
      ...who.variables,
    },
    person: () => person,
    far: {
      answered() {
        settleAnswer(true);
        if (extra.hangupAfterMs !== undefined)
          node.later(extra.hangupAfterMs, () => channel && calls.hangup(channel, 'NORMAL_CLEARING'));
      },
      ended(cause) {
        settleAnswer(false);
        settleEnd(cause);
      },
    },
  });
  return {
    channelId: channel?.uuid,
    answered,
    ended,
    hangup: () => {
      if (channel) calls.hangup(channel, channel.answeredUs > 0 ? 'NORMAL_CLEARING' : 'ORIGINATOR_CANCEL');
    },
    die: () => channel && node.fallSilent(channel),
    hold(on) {
      if (!channel || channel.isOver || (channel.callState === 'HELD') === on) return;
      channel.callState = on ? 'HELD' : 'ACTIVE';
      node.emitChannel(on ? 'CHANNEL_HOLD' : 'CHANNEL_UNHOLD', channel);
    },
    press: (digits) => channel && press(channel, digits),
    talk(talking) {
      if (!channel) return;
      channel.isSounding = talking;
      channel.onTalk?.(talking);
    },
  };
}
