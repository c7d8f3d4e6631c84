/** What each SIP door of a node lets in: the one list that profiles are made from, and that freeswitch/README.md repeats. */

/** `users`: phones and browsers, who prove who they are. `nodes`: the other nodes of the pool. */
export type SipDoor = 'users' | 'nodes';

export type SofiaSettings = Readonly<Record<string, string | number | boolean>>;

export interface SipMethodRule {
  method: string;
  /** What may be done with it at each door; left out: nothing. */
  allowed: Partial<Record<SipDoor, string>>;
  /** What is heard where it is off, as a real node answers (1.10.12). */
  refusal?: string;
  /** The settings of mod_sofia that close it, for a door where it is off. */
  off?: SofiaSettings;
  /** The settings that hold it to what is allowed, for a door where it is on. */
  on?: Partial<Record<SipDoor, SofiaSettings>>;
}

/**
 * What is not here has no effect. MESSAGE, REFER and INFO each ran a command on the media server, or dialled for a
 * stranger, in a node that was left to its defaults: sofia_presence_handle_sip_i_message (to_user `api+…`),
 * sofia_handle_sip_i_refer (an unknown `Replaces`), sofia_handle_sip_i_info (`freeswitch/api-request`).
 */
const SIP_METHODS: readonly SipMethodRule[] = [
  {
    method: 'REGISTER',
    allowed: { users: 'As itself: From, To, user name and realm must agree. It rings where the REGISTER came from.' },
    refusal: '405',
    off: { 'disable-register': true },
    on: {
      users: {
        'accept-blind-reg': false,
        'inbound-reg-force-matching-username': true,
        'multiple-registrations': 'contact',
        // The pool's own limit (quota registrationsPerUser) lets the oldest go; this one refuses, and counts phones that are gone.
        'max-registrations-per-extension': 1000,
        'sip-force-expires-max': 3600,
      },
    },
  },
  {
    method: 'INVITE',
    allowed: {
      users:
        'As the user that the digest proves, in the domain that To names. From, P-Asserted-Identity and the like only say ' +
        'whether the caller hides; Replaces is refused.',
      nodes: 'From an address of the pool, with a token for this call. Only the pool uses `Replaces`.',
    },
    on: {
      users: {
        'auth-calls': true,
        'accept-blind-auth': false,
        'auth-require-user': true,
        // Who hides has no domain in From (anonymous.invalid, RFC 3323): the domain is the one that is called.
        'challenge-realm': 'auto_to',
      },
      nodes: { 'auth-calls': false, 'apply-inbound-acl': 'pool' },
    },
  },
  {
    method: 'ACK, BYE, CANCEL, PRACK, UPDATE',
    allowed: { users: 'In its own calls; it may not change its name there.', nodes: 'In its own calls.' },
  },
  {
    method: 'OPTIONS',
    allowed: { users: 'Asks whether the node is alive.', nodes: 'Asks whether the node is alive.' },
  },
  {
    method: 'INFO',
    allowed: {
      users:
        'In its own calls: pressed keys (`application/dtmf-relay`, `application/dtmf`), and requests for a key frame. ' +
        'Everything else is answered and has no effect.',
    },
    off: { 'extended-info-parsing': false, 'liberal-dtmf': false },
    // JsSIP sends keys so, whatever the offer says of telephone-event; without the second they are answered and dropped.
    on: { users: { 'extended-info-parsing': false, 'liberal-dtmf': true } },
  },
  {
    method: 'NOTIFY',
    allowed: { users: 'A keep-alive. In its own call it can end or answer its own leg, which then gets no dialplan.' },
    off: {},
  },
  { method: 'REFER', allowed: {}, refusal: '405', off: { 'disable-transfer': true } },
  {
    method: 'MESSAGE',
    allowed: {},
    refusal: '202, and nothing happens',
    off: { 'enable-chat': false, 'auth-messages': true },
  },
  {
    method: 'SUBSCRIBE',
    allowed: {},
    refusal: '405',
    off: { 'manage-presence': false, 'manage-shared-appearance': false, 'auth-subscriptions': true },
  },
  { method: 'PUBLISH', allowed: {}, refusal: '405', off: { 'manage-presence': false } },
];

/** The settings of a profile that come from the list. */
export function doorSettings(door: SipDoor): SofiaSettings {
  const settings: Record<string, string | number | boolean> = {};
  for (const rule of SIP_METHODS) {
    Object.assign(settings, rule.allowed[door] === undefined ? rule.off : rule.on?.[door]);
  }
  return settings;
}

/** The list as freeswitch/README.md shows it. @internal */
export function doorsTable(): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const cell = (rule: SipMethodRule, door: SipDoor): string =>
    rule.allowed[door] ?? (rule.refusal === undefined ? 'No effect.' : `Off: ${rule.refusal}.`);
  return [
    line(['SIP method', 'phones and browsers (profile `internal`)', 'other nodes (profile `internode`)']),
    line(['---', '---', '---']),
    ...SIP_METHODS.map((rule) => line([rule.method, cell(rule, 'users'), cell(rule, 'nodes')])),
  ].join('\n');
}
