/** Phones of one simulated node: they log in against the directory, are listed, and take calls in a set way. */
import { md5 } from './directory-user';
import { type PhoneBehaviour } from './phone-behaviour';
import { randomUUID } from 'node:crypto';
import type { NodeContext } from '../node-context';
import type { FarEnd, Channel } from '../channels/channel';
import { checkLogin } from './logins';

export interface PhoneOptions {
  username: string;
  domain: string;
  /** One of the two; neither: whatever the directory holds is taken as right. */
  password?: string;
  ha1?: string;
  behaviour?: PhoneBehaviour;
  expiresSeconds?: number;
  transport?: 'udp' | 'tcp' | 'ws';
  /** What From and To say, where a phone lies there. */
  from?: { user: string; host: string };
  to?: { user: string; host: string };
  /** Where it signals from; this machine where it is left out. */
  address?: string;
  /** Its own socket, where it comes back with one that it had before. */
  socket?: { host: string; port: number };
  /** What it names in its Contact, where that is another than its socket: behind a NAT, or in a browser. */
  contact?: string;
}

export interface Registration {
  id: string;
  username: string;
  domain: string;
  uri: string;
  sipCallId: string;
  address: string;
  port: number;
  transport: string;
  expiresAtMs: number;
  behaviour: PhoneBehaviour;
  variables: Record<string, string>;
  /** In the core's list, where another socket's end with the same Call-ID takes it out. */
  isListed: boolean;
}

const isSameContact = (a: Registration, b: Registration): boolean =>
  a.uri === b.uri && a.username === b.username && a.domain === b.domain;

export interface Registrar {
  /** @returns the registration, or the SIP status it was refused with */
  register(o: PhoneOptions, existing?: Registration, socket?: 'the same' | 'another'): Promise<Registration | number>;
  /** Its WebSocket closes: of that the node tells the Call-ID alone (sofia.c, nua_i_media_error). */
  closeSocket(registration: Registration): void;
  unregister(registration: Registration, reason: 'unregister' | 'expire'): void;
  contactsOf(username: string, domain: string): Registration[];
  all(): Registration[];
  /** The phone at a contact address, if it is still registered. */
  at(uri: string): Registration | undefined;
  rows(): Record<string, string>[];
  clear(): void;
}

const FIRST_PORT = 1024;
const PORTS = 65_536 - FIRST_PORT;
let sockets = 0;

/** A socket that no other phone of this machine has, at whatever node: by its socket a phone is known. */
function nextSocket(): { host: string; port: number } {
  const host = `127.0.${Math.floor(sockets / PORTS) % 256}.1`;
  const port = FIRST_PORT + ((sockets + 38_976) % PORTS);
  sockets += 1;
  return { host, port };
}

/** @param kept what the node's own database holds from before it was started again */
export function createRegistrar(node: NodeContext, kept: readonly Registration[] = []): Registrar {
  const registrations = new Map<string, Registration>();
  const expiries = new Map<string, () => void>();

  const eventFields = (r: Registration, expires: number): Record<string, string> => ({
    'profile-name': 'internal',
    'from-user': r.username,
    'from-host': r.domain,
    'presence-hosts': 'n/a',
    contact: `"" <${r.uri}>`,
    'call-id': r.sipCallId,
    rpid: 'unknown',
    ...(expires > 0 ? { status: `Registered(${r.transport.toUpperCase()})` } : {}),
    expires: String(expires),
    'to-user': r.username,
    'to-host': r.domain,
    'network-ip': r.address,
    'network-port': String(r.port),
    username: r.username,
    realm: r.domain,
    'user-agent': 'Switchyard simulator',
    sip_number_alias: r.username,
    sip_auth_username: r.username,
    sip_auth_realm: r.domain,
    number_alias: r.username,
    user_name: r.username,
    domain_name: r.domain,
    ...r.variables,
  });
  const tell = (subclass: string, r: Registration, expires: number): void =>
    node.emit('CUSTOM', 'sofia_reg.c', 'sofia_reg_handle_register_token', () => eventFields(r, expires), subclass);

  async function register(
    o: PhoneOptions,
    existing?: Registration,
    socket: 'the same' | 'another' = 'the same',
  ): Promise<Registration | number> {
    if (node.isStandby) return 503;
    const isSame = socket === 'the same';
    const had = existing && { host: existing.address, port: existing.port };
    const made = (isSame ? (had ?? o.socket) : undefined) ?? nextSocket();
    const { port } = made;
    const sipCallId = existing?.sipCallId ?? `${randomUUID()}@simulated`;
    const address = o.address ?? made.host;
    const { username, domain } = o;
    const ha1 = o.ha1 ?? (o.password === undefined ? undefined : md5(`${username}:${domain}:${o.password}`));
    const user = await checkLogin(node, {
      ...{ method: 'REGISTER', username, domain, ha1, ip: address, port, sipCallId },
      ...{ from: o.from, to: o.to },
    });
    if (!user) return 403;
    const seconds = Number(user.variables['sip-force-expires']) || (o.expiresSeconds ?? 300);
    const transport = o.transport ?? 'udp';
    const registration: Registration = {
      id: (isSame ? existing?.id : undefined) ?? randomUUID(),
      username: o.username,
      domain: o.domain,
      uri: o.contact
        ? `${o.contact};fs_path=${encodeURIComponent(`sip:${o.username}@${address}:${port};transport=${transport}`)}`
        : `sip:${o.username}@${address}:${port}${transport === 'udp' ? '' : `;transport=${transport}`}`,
      sipCallId,
      address,
      port,
      transport,
      expiresAtMs: node.clock() + seconds * 1000,
      behaviour: o.behaviour ?? {},
      variables: user.variables,
      isListed: true,
    };
    // A node has one row for each contact (multiple-registrations=contact), whatever its Call-ID.
    for (const r of [...registrations.values()])
      if (r.id !== registration.id && isSameContact(r, registration)) forget(r);
    registrations.set(registration.id, registration);
    expiries.get(registration.id)?.();
    const cancel = node.later(seconds * 1000, () => unregister(registration, 'expire'));
    expiries.set(registration.id, cancel);
    tell('sofia::register', registration, seconds);
    return registration;
  }

  function forget(r: Registration): boolean {
    expiries.get(r.id)?.();
    expiries.delete(r.id);
    return registrations.delete(r.id);
  }

  function unregister(r: Registration, reason: 'unregister' | 'expire'): void {
    if (!forget(r)) return;
    if (reason === 'unregister') return tell('sofia::unregister', r, 0);
    node.emit(
      'CUSTOM',
      'sofia_reg.c',
      'sofia_reg_del_callback',
      () => ({
        'profile-name': 'internal',
        'sip-profile-name': 'internal',
        'call-id': r.sipCallId,
        user: r.username,
        host: r.domain,
        contact: `"" <${r.uri}>`,
        expires: String(Math.floor(r.expiresAtMs / 1000)),
        'user-agent': 'Switchyard simulator',
        realm: r.domain,
        'network-ip': r.address,
        'network-port': String(r.port),
      }),
      'sofia::expire',
    );
  }

  function closeSocket(r: Registration): void {
    if (!registrations.delete(r.id)) return;
    expiries.get(r.id)?.();
    expiries.delete(r.id);
    for (const other of registrations.values()) if (other.sipCallId === r.sipCallId) other.isListed = false;
    const { username, domain, sipCallId } = r;
    const fields = { 'profile-name': 'internal', 'from-user': username, 'from-host': domain, 'call-id': sipCallId };
    node.emit(
      'CUSTOM',
      'sofia.c',
      'our_sofia_event_callback',
      () => ({ ...fields, rpid: 'unknown', reason: 'socket-disconnection' }),
      'sofia::unregister',
    );
  }

  for (const r of kept) {
    const leftMs = r.expiresAtMs - node.clock();
    if (leftMs <= 0) continue;
    registrations.set(r.id, r);
    expiries.set(
      r.id,
      node.later(leftMs, () => unregister(r, 'expire')),
    );
  }

  return {
    register,
    closeSocket,
    unregister,
    contactsOf: (username, domain) =>
      [...registrations.values()].filter((r) => r.username === username && r.domain === domain),
    all: () => [...registrations.values()],
    at(dialled) {
      const uri = dialled.replace(/;fs_path=.*$/, '');
      const port = Number(/%3A(\d+)(?:%3B|$)/i.exec(dialled)?.[1]); // of its socket, in the way there
      const named = [...registrations.values()].filter((r) => r.uri.replace(/;fs_path=.*$/, '') === uri);
      return named.find((r) => r.port === port) ?? named[0];
    },
    rows: () =>
      [...registrations.values()]
        .filter((r) => r.isListed)
        .map((r) => ({
          reg_user: r.username,
          realm: r.domain,
          token: r.sipCallId,
          url: `sofia/internal/${r.uri}`,
          expires: String(Math.floor(r.expiresAtMs / 1000)),
          network_ip: r.address,
          network_port: String(r.port),
          network_proto: r.transport,
          hostname: node.name,
          metadata: '',
        })),
    clear: () => registrations.clear(),
  };
}

/** What a phone does with a channel that rings it. */
export interface RingAnswers {
  progress(): void;
  answer(): void;
  fail(cause: string): void;
}

/** sofia_glue_sip_cause_to_freeswitch, as far as phones of tests go. */
const CAUSES: Readonly<Record<number, string>> = {
  ...{ 400: 'NORMAL_TEMPORARY_FAILURE', 500: 'NORMAL_TEMPORARY_FAILURE', 503: 'NORMAL_TEMPORARY_FAILURE' },
  ...{
    404: 'UNALLOCATED_NUMBER',
    408: 'RECOVERY_ON_TIMER_EXPIRE',
    480: 'NO_USER_RESPONSE',
    486: 'USER_BUSY',
    502: 'NETWORK_OUT_OF_ORDER',
  },
};

/** timer-T1X64 of the profile. */
const SILENT_MS = 16_000;

/** An INVITE fails by a status: the phone's, or the node's own where its transport refuses. */
export function failBy(channel: Channel, status: number, answers: Pick<RingAnswers, 'fail'>): void {
  channel.variables.set('sip_invite_failure_status', String(status));
  answers.fail(CAUSES[status] ?? 'NORMAL_UNSPECIFIED');
}

/** Lets a phone ring; the far end it returns stops it. */
export function ringPhone(node: NodeContext, phone: Registration, channel: Channel, answers: RingAnswers): FarEnd {
  const stops: (() => void)[] = [];
  const b = phone.behaviour;
  const after = (ms: number, run: () => void): void => void stops.push(node.later(ms, run));
  if (b.gone === 'silent') after(SILENT_MS, () => failBy(channel, 408, answers));
  if (b.gone === 'refused') {
    after(1, () => failBy(channel, 503, answers));
  }
  if (b.gone) {
    return { ended: () => stops.forEach((stop) => stop()) };
  }
  channel.variables.set('sip_reply_host', phone.address); // each makes the node hear something, and be it a 100
  channel.variables.set('sip_reply_port', String(phone.port));
  if (b.status !== undefined) after(1, () => failBy(channel, b.status!, answers));
  else if (b.busy) after(1, () => answers.fail('USER_BUSY'));
  else if (b.reject) after(1, () => answers.fail('CALL_REJECTED'));
  else {
    after(1, () => {
      answers.progress();
      if (b.ringOnly) return;
      after(b.answerAfterMs ?? 100, () => {
        answers.answer();
        if (b.diesAfterMs !== undefined && !channel.isOver)
          after(b.diesAfterMs, () => stops.push(node.fallSilent(channel)));
        if (b.hangupAfterMs !== undefined && !channel.isOver)
          after(b.hangupAfterMs, () => answers.fail('NORMAL_CLEARING'));
      });
    });
  }
  return { ended: () => stops.forEach((stop) => stop()) };
}
