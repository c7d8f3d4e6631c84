/** A SIP phone over UDP: it registers at a node, takes calls as it is told, and makes them. For the demo, benches and tests. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { proofHeader } from './digest';
import { createIncomingCalls, type Line, type PhoneBehaviour } from './incoming';
import { statusOf, type SipMessage } from './message';
import { createOutgoingCalls, type DialOptions, type PhoneCall } from './outgoing';
import { openSipSocket, sipId } from './sip-socket';

export interface PhoneOptions {
  username: string;
  domain: string;
  /** Left out: said each time, or wrong. */
  password?: string;
  /** The node it registers at. */
  nodeHost?: string;
  nodePort: number;
  /** Where it listens. */
  host?: string;
  /** How it takes calls; it can be changed later. */
  behaviour?: PhoneBehaviour;
  /** What it says in a call; left out: nothing. */
  sound?: 'tone' | 'silence';
  timeoutMs?: number;
  /** Where each request is to be seen once, longer than the node may take. */
  resendMs?: number;
}

export interface Phone {
  readonly port: number;
  behaviour: PhoneBehaviour;
  /** Every INVITE that began a call here, newest last. */
  readonly invites: SipMessage[];
  readonly byes: SipMessage[];
  /** Where it `isRestarted`, it has forgotten its Call-ID. @returns the final status */
  register(o?: { expiresSeconds?: number; password?: string; isRestarted?: boolean }): Promise<number>;
  unregister(): Promise<number>;
  /** Resolves when it is answered or refused. */
  dial(number: string, o?: { password?: string; nodePort?: number; headers?: readonly string[] }): Promise<PhoneCall>;
  /** RTP packets it has received, over all calls. */
  heard(): number;
  /** Hangs up, unregisters and closes. */
  stop(): Promise<void>;
  /** Closes without a word, as when its plug is pulled. */
  close(): void;
}

const TIMEOUT_MS = 10_000;
const EXPIRES_SECONDS = 300;
/** Nobody registers it again. */
const STARTED_EXPIRES_SECONDS = 600;

/** A phone that is not registered yet. */
export async function openPhone(options: PhoneOptions): Promise<Phone> {
  const { username, domain, host = '127.0.0.1', nodeHost = '127.0.0.1' } = options;
  const rtp = createSocket('udp4');
  rtp.on('error', () => undefined);
  rtp.bind(0, host);
  await once(rtp, 'listening');
  let packets = 0;
  rtp.on('message', () => (packets += 1));
  const sip = await openSipSocket({
    host,
    timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
    resendMs: options.resendMs,
    onRequest: (message, from) => outgoing.take(message, from) || incoming.take(message, from),
  });
  const contact = `sip:${username}@${host}:${sip.port}`;
  const line: Line = { sip, rtp, media: { host, port: rtp.address().port }, contact, sound: options.sound };
  const outgoing = createOutgoingCalls(line);
  const incoming = createIncomingCalls(line, () => phone.behaviour);
  const registration = { callId: sipId(), tag: sipId(4), sequence: 0 };

  async function register(expiresSeconds: number, password: string): Promise<number> {
    const uri = `sip:${domain}`;
    const self = `<sip:${username}@${domain}>`;
    const headers = [`From: ${self};tag=${registration.tag}`, `To: ${self}`, `Contact: <${contact}>`];
    const ask = (more: string[]): Promise<SipMessage> =>
      sip.request({
        ...{ method: 'REGISTER', uri, callId: registration.callId, sequence: (registration.sequence += 1) },
        headers: [...headers, `Expires: ${expiresSeconds}`, 'User-Agent: Switchyard phone', ...more],
        to: { host: nodeHost, port: options.nodePort },
      });
    const first = await ask([]);
    const proof = proofHeader(first, { method: 'REGISTER', uri, username, password });
    return statusOf(proof ? await ask([proof]) : first);
  }

  function close(): void {
    incoming.close();
    outgoing.close();
    sip.close();
    rtp.close();
  }

  const phone: Phone = {
    port: sip.port,
    behaviour: options.behaviour ?? {},
    invites: incoming.invites,
    byes: incoming.byes,
    register: ({ expiresSeconds = EXPIRES_SECONDS, password = options.password ?? '', isRestarted } = {}) => {
      if (isRestarted) registration.callId = sipId();
      return register(expiresSeconds, password);
    },
    unregister: () => register(0, options.password ?? ''),
    dial: (number, o = {}) => {
      const to = { host: nodeHost, port: o.nodePort ?? options.nodePort };
      const password = o.password ?? options.password ?? '';
      const asked: DialOptions = { username, domain, password, to, headers: o.headers };
      return outgoing.dial(number, asked);
    },
    heard: () => packets,
    async stop() {
      await outgoing.hangUpAll();
      await phone.unregister().catch(() => undefined); // the node may be gone already
      close();
    },
    close,
  };
  return phone;
}

/** A phone that is registered. @throws Error where the node refuses that, or does not answer */
export async function startPhone(options: PhoneOptions): Promise<Phone> {
  const phone = await openPhone(options);
  try {
    const status = await phone.register({ expiresSeconds: STARTED_EXPIRES_SECONDS });
    if (status !== 200) throw new Error(`The registration was refused: ${status}`);
    return phone;
  } catch (fault) {
    phone.close();
    throw fault;
  }
}
