/** Every parameter of mod_sofia 1.10.12, gone through once: set by a profile, closed here, or left with a reason. */
import type { SofiaSettings } from './sip-doors';

/**
 * Closed at both doors, beside what the list of SIP methods closes. Several of them are off by default; they are said
 * all the same, so that a node whose default is another one stays shut.
 */
export const CLOSED: SofiaSettings = {
  // A call's legs are known by the ids we gave them: no phone chooses one by its Call-ID, and none is shown its own.
  'inbound-use-callid-as-uuid': false,
  'outbound-use-uuid-as-callid': false,
  // The dialplan is asked for the user part of the request alone; parameters and headers make no variables.
  'full-id-in-dialplan': false,
  'parse-invite-tel-params': false,
  'parse-all-invite-headers': false,
  // Text and events of a phone are not handed to its partner.
  'in-dialog-chat': false,
  'proxy-info': false,
  'proxy-message': false,
  'proxy-refer': false,
  'proxy-refer-replaces': false,
  // An INVITE without an offer, and media that does not pass the node, are not for us.
  'enable-3pcc': false,
  'inbound-bypass-media': false,
  'inbound-proxy-media': false,
  // A call forward that a phone answers with (302) is not followed: freeswitch/freeswitch.xml makes it fatal.
  'manual-redirect': false,
  // A transfer that names a leg of nobody makes the node dial.
  'make-every-transfer-a-nightmare': false,
  'channel-xml-fetch-on-nightmare-transfer': false,
  'confirm-blind-transfer': false,
  // Waiting messages of a voice mail that is not there.
  'forward-unsolicited-mwi-notify': false,
  'send-message-query-on-register': false,
  'send-presence-on-register': false,
  'presence-probe-on-register': false,
};

/** What a profile may set beside these: addresses, media, and the settings of the list of SIP methods. */
const SET_BY_PROFILES: readonly string[] = [
  ...['dialplan', 'context', 'user-agent-string', 'sip-ip', 'rtp-ip', 'ext-sip-ip', 'ext-rtp-ip', 'sip-port'],
  ...[
    'profile-standby',
    'ws-binding',
    'wss-binding',
    'tls',
    'tracelevel',
    'nonce-ttl',
    'enable-timer',
    'log-auth-failures',
  ],
  ...['inbound-codec-prefs', 'outbound-codec-prefs', 'inbound-codec-negotiation', 'inbound-late-negotiation'],
  ...['rtp-timer-name', 'rtp-timeout-sec', 'rtp-hold-timeout-sec', 'dtmf-type', 'rfc2833-pt', 'caller-id-type'],
  ...['local-network-acl', 'apply-nat-acl', 'apply-candidate-acl', 'apply-inbound-acl', 'disable-register'],
  ...['auth-calls', 'auth-messages', 'auth-subscriptions', 'auth-require-user', 'accept-blind-reg'],
  ...['accept-blind-auth', 'challenge-realm', 'inbound-reg-force-matching-username', 'multiple-registrations'],
  ...[
    'max-registrations-per-extension',
    'timer-T1X64',
    'sip-force-expires-max',
    'extended-info-parsing',
    'enable-chat',
  ],
  ...['liberal-dtmf'],
  ...['disable-transfer', 'manage-presence', 'manage-shared-appearance'],
];

interface Left {
  reason: string;
  names: readonly string[];
}

/** Left at FreeSWITCH's default, each for a reason. */
const LEFT: readonly Left[] = [
  {
    reason: 'It would let in without a password, by an address or a header, or give a login more than its list.',
    names: [
      ...['apply-inbound-acl-x-token', 'apply-proxy-acl', 'apply-proxy-acl-x-token', 'apply-register-acl'],
      ...['auth-calls-acl-only', 'auth-all-packets', 'blind-auth-reply-403', 'enforce-blind-auth-result'],
      ...['disable-auth-messages', 'disable-auth-subscriptions', 'use-port-for-acl-check', 'user-agent-filter'],
      ...['proxy-info-content-types', 'proxy-notify-events', 'record-path', 'record-template', 'pnp-provision-url'],
      ...['rfc8760-auth-algorithms', 'max-auth-validity', 'NDLB-broken-auth-hash'],
    ],
  },
  {
    reason: 'One node serves all domains: none is forced, and no name stands for another.',
    names: [
      ...['alias', 'sip-domain', 'force-register-domain', 'force-register-db-domain', 'force-subscription-domain'],
      ...['presence-hosts', 'username', 'contact-user', 'bind-params', 'outbound-proxy', 'hold-music'],
    ],
  },
  {
    reason: 'Presence, waiting messages and shared lines are off as a whole.',
    names: [
      ...['presence-disable-early', 'presence-hold-state', 'presence-privacy', 'presence-proto-lookup'],
      ...[
        'force-subscription-expires',
        'force-publish-expires',
        'sip-subscription-max-deviation',
        'mwi-use-reg-callid',
      ],
      ...['sip-subscribe-respond-200-ok', 'sip-messages-respond-200-ok', 'debug-presence', 'debug-sla', 'track-calls'],
    ],
  },
  {
    reason: 'Answers and events of a node that nobody reads.',
    names: [
      ...['fire-bye-response-events', 'fire-message-events', 'fire-transfer-events', 'p-asserted-id-parse'],
      ...['rfc-7989', 'rfc-7989-filter', 'rfc-7989-force-old', 'pass-callee-id', 'cid-in-1xx', 'send-display-update'],
    ],
  },
  {
    reason: 'How a call is told and kept alive; the default suits phones and browsers alike.',
    names: [
      ...['3pcc-reinvite-bridged-on-ack', 'allow-update', 'auto-invite-100', 'enable-100rel', 'ignore-183nosdp'],
      ...[
        'minimum-session-expires',
        'session-timeout',
        'update-refresher',
        'disable-hold',
        'proxy-hold',
        'media-option',
      ],
      ...['disable-srv', 'disable-naptr', 'disable-srv503', 'enable-compact-headers', 'enable-rfc-5626', 'enable-soa'],
      ...['max-calls', 'max-proceeding', 'max-recv-requests-per-second', 'sip-options-respond-503-on-busy'],
      ...['timer-T1', 'timer-T2', 'timer-T4', 'reuse-connections', 'keepalive-method'],
    ],
  },
  {
    reason: 'How long a registration holds and how it is looked after.',
    names: [
      ...['all-reg-options-ping', 'nat-options-ping', 'unregister-on-options-fail', 'ping-mean-interval'],
      ...['ping-thread-frequency', 'registration-thread-frequency', 'sip-user-ping-max', 'sip-user-ping-min'],
      ...['sip-force-expires', 'sip-force-expires-min', 'sip-expires-late-margin', 'sip-expires-max-deviation'],
      ...['inbound-reg-in-new-thread', 'max-reg-threads', 'reg-deny-binding-fetch-and-no-lookup'],
      ...['rewrite-multicasted-fs-path', 'NDLB-expires-in-register-response', 'NDLB-received-in-nat-reg-contact'],
      ...['aggressive-nat-detection', 'tcp-always-nat', 'tls-always-nat', 'NDLB-force-rport'],
      ...['tcp-keepalive', 'tcp-pingpong', 'tcp-ping2pong', 'socket-tcp-keepalive', 'tcp-unreg-on-socket-close'],
    ],
  },
  {
    reason: 'Phones behind NAT need it; each other leg has it off by its plan (domains/calls/media-address.ts).',
    names: ['disable-rtp-auto-adjust'],
  },
  {
    reason: 'Media: what codecs, digits and packets are like once a call is let in.',
    names: [
      ...['NDLB-allow-bad-iananame', 'NDLB-allow-crypto-in-avp', 'NDLB-allow-nondup-sdp', 'auto-jitterbuffer-msec'],
      ...['NDLB-proxy-never-patch-reinvites', 'NDLB-sendrecv-in-session', 'NDLB-support-asterisk-missing-srtp-auth'],
      ...['auto-rtp-bugs', 'bitpacking', 'cng-pt', 'codec-prefs', 'disable-transcoding'],
      ...['dtmf-duration', 'inbound-no-media', 'manual-rtp-bugs', 'manual-video-rtp-bugs'],
      ...['pass-rfc2833', 'require-secure-rtp', 'rtcp-audio-interval-msec', 'rtcp-video-interval-msec'],
      ...['rtp-autofix-timing', 'rtp-digit-delay', 'rtp-notimer-during-bridge', 'rtp-rewrite-timestamps'],
      ...['supress-cng', 'suppress-cng', 't38-passthru', 'vad'],
    ],
  },
  {
    reason: 'SIP by TLS is off; wss has a certificate of its own.',
    names: [
      ...['tls-bind-params', 'tls-cert-dir', 'tls-ciphers', 'tls-only', 'tls-orq-connect-timeout', 'tls-passphrase'],
      ...['tls-sip-port', 'tls-timeout', 'tls-verify-date', 'tls-verify-depth', 'tls-verify-in-subjects'],
      ...['tls-verify-policy', 'tls-version', 'stir-shaken-as-key', 'stir-shaken-as-url', 'stir-shaken-vs-ca-dir'],
      ...['stir-shaken-vs-cert-path-check', 'stir-shaken-vs-require-date'],
    ],
  },
  {
    reason: "The node's own database, log and restarts.",
    names: [
      ...['dbname', 'odbc-dsn', 'db-inner-post-trans-execute', 'db-inner-pre-trans-execute', 'db-post-trans-execute'],
      ...['db-pre-trans-execute', 'db-spin-up-wait-ms', 'debug', 'log-level', 'sip-trace', 'sip-capture'],
      ...['capture-server', 'auto-restart', 'shutdown-on-fail', 'abort-on-empty-external-ip', 'bind-attempts'],
      ...[
        'bind-attempt-interval',
        'ext-sip-port',
        'watchdog-enabled',
        'watchdog-event-timeout',
        'watchdog-step-timeout',
      ],
    ],
  },
];

/** parameter → what was decided about it. @internal */
export const SOFIA_PARAMETERS: ReadonlyMap<string, string> = new Map([
  ...LEFT.flatMap(({ reason, names }) => names.map((name) => [name, `left: ${reason}`] as const)),
  ...Object.entries(CLOSED).map(([name, value]) => [name, `closed: ${String(value)}`] as const),
  ...SET_BY_PROFILES.map((name) => [name, 'set by a profile'] as const),
]);
