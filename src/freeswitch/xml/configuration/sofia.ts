/** The two SIP doors of a node: one for phones and browsers, who must prove who they are, one for the other nodes. */
import { familyOf } from '../../../address';
import { element, param, params, type Element } from '../document';
import type { NodeSettings } from './settings';
import { doorSettings, type SofiaSettings } from './sip-doors';
import { CLOSED } from './sofia-parameters';
import { INTERNODE_CONTEXT, USERS_CONTEXT } from '../../contexts';

/** What is offered and taken, in this order. */
const CODECS = 'OPUS,PCMU,PCMA,VP8,H264';

export function sofiaConf(node: NodeSettings): Element[] {
  return [
    params({ 'log-level': 0, 'debug-presence': 0 }, 'global_settings'),
    element('profiles', {}, [
      profile('internal', internal(node), candidatesOf(node.host)),
      profile('internode', internode(node)),
    ]),
  ];
}

/** Browsers offer addresses of every kind: each list is a setting of its own under the same name. When a profile is read again its lists
 * would be put behind those it has: `none` begins them again. Media is of the family of the node's address. */
const candidatesOf = (host: string): Element[] =>
  (familyOf(host) === 'ipv6' ? ['none', 'any_v6.auto'] : ['none', 'loopback.auto', 'localnet.auto', 'any_v4.auto']).map(
    (name) => param('apply-candidate-acl', name),
  );

function profile(name: string, settings: SofiaSettings, lists: Element[] = []): Element {
  return element('profile', { name }, [
    element('aliases'),
    element('gateways'),
    element('domains', {}, [element('domain', { name: 'all', alias: 'false', parse: 'false' })]),
    element('settings', {}, [...params({ ...settings }).children!, ...lists]),
  ]);
}

/** What has to do with no door: addresses, media, and what is written to the log. */
function common(node: NodeSettings): SofiaSettings {
  return {
    dialplan: 'XML',
    'user-agent-string': 'Switchyard',
    'sip-ip': node.host,
    'rtp-ip': node.host,
    'inbound-codec-prefs': CODECS,
    'outbound-codec-prefs': CODECS,
    'inbound-codec-negotiation': 'generous',
    'inbound-late-negotiation': true,
    'rtp-timer-name': 'soft',
    'dtmf-type': 'rfc2833',
    'rfc2833-pt': 101,
    'nonce-ttl': 60,
    // JsSIP asks for a session interval of 90 s; with timers on, FreeSWITCH refuses below 120 (422) and nobody can dial.
    'enable-timer': false,
    // Legs of phones carry times of their own (media-timeout.ts). A leg between nodes is as silent as the phone behind it,
    // which its own node ends: these only end what nobody else does.
    'rtp-timeout-sec': 7200,
    'rtp-hold-timeout-sec': 172_800,
    'local-network-acl': 'localnet.auto',
    'log-auth-failures': true,
    'caller-id-type': 'none',
    tls: false,
    tracelevel: 'info',
    ...CLOSED,
  };
}

/** For phones and browsers: no domain is forced, so one node serves all of them. */
function internal(node: NodeSettings): SofiaSettings {
  return {
    ...common(node),
    context: USERS_CONTEXT,
    // An INVITE without any answer, a 100 included, is given up after so many ms (RFC 3261: 32 s, longer than most let ring).
    'timer-T1X64': 16_000,
    'sip-port': node.sipPort,
    'ws-binding': `${node.host}:${node.wsPort}`,
    ...(node.wssPort === undefined ? {} : { 'wss-binding': `${node.host}:${node.wssPort}` }),
    // Told to whom is neither on this machine nor in its networks, by the address that signals.
    ...(node.publicHost === undefined ? {} : { 'ext-sip-ip': node.publicHost, 'ext-rtp-ip': node.publicHost }),
    'apply-nat-acl': 'nat.auto',
    // REGISTER, INVITE and OPTIONS outside of a dialog get 503; what talks, and what is rung, goes on.
    'profile-standby': node.refusesPhones ?? false,
    ...doorSettings('users'),
  };
}

/** For the pool: by address (`pool`), and each call carries a token that its dialplan answer checks. */
function internode(node: NodeSettings): SofiaSettings {
  return { ...common(node), context: INTERNODE_CONTEXT, 'sip-port': node.internodePort, ...doorSettings('nodes') };
}
