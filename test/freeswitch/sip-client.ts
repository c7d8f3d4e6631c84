/** A phone made for tests: it says exactly what it is told to, and keeps what it was told. */
import { createSocket, type Socket } from 'node:dgram';
import { randomBytes } from 'node:crypto';
import {
  answerChallenge,
  formatAnswer,
  formatRequest,
  headerOf,
  parseChallenge,
  parseSip,
  type SipMessage,
} from '../../scripts/demo/sip-message';

const TIMEOUT_MS = 10_000;

export interface TestPhone {
  readonly port: number;
  /** Every INVITE it got. */
  readonly invites: SipMessage[];
  readonly byes: SipMessage[];
  /** How it answers an INVITE: a status, or nothing at all after 180. */
  answer: '200 OK' | '486 Busy Here' | 'ring';
  /** The final status. */
  register(password: string): Promise<number>;
  call(number: string, o?: { password?: string; toPort?: number; headers?: string[] }): Promise<Dialog>;
  close(): void;
}

export interface Dialog {
  status: number;
  hangup(): Promise<number>;
}

/** @param nodePort the SIP port it talks to */
export async function openTestPhone(o: { username: string; domain: string; nodePort: number }): Promise<TestPhone> {
  const socket: Socket = createSocket('udp4');
  await new Promise<void>((done) => socket.bind(0, '127.0.0.1', done));
  const port = socket.address().port;
  const waiters = new Map<string, (message: SipMessage) => void>();
  const contact = `sip:${o.username}@127.0.0.1:${port}`;
  const sdp = (): string =>
    [
      'v=0',
      'o=t 1 1 IN IP4 127.0.0.1',
      's=-',
      'c=IN IP4 127.0.0.1',
      't=0 0',
      'm=audio 40000 RTP/AVP 0',
      'a=rtpmap:0 PCMU/8000',
      '',
    ].join('\r\n');
  const withSdp = { headers: [`Contact: <${contact}>`, 'Content-Type: application/sdp'], body: sdp() };
  const send = (text: string, to: number): void => socket.send(text, to, '127.0.0.1');

  socket.on('message', (bytes, from) => {
    const message = parseSip(bytes.toString());
    if (!message) return;
    if (message.start.startsWith('SIP/2.0')) {
      const key = `${headerOf(message, 'call-id')} ${headerOf(message, 'cseq')}`;
      if (status(message) >= 200) waiters.get(key)?.(message);
      return;
    }
    const method = message.start.split(' ')[0];
    const toTag = 'phone';
    if (method === 'INVITE') {
      phone.invites.push(message);
      send(formatAnswer(message, '180 Ringing', { toTag, headers: [`Contact: <${contact}>`] }), from.port);
      if (phone.answer !== 'ring')
        send(formatAnswer(message, phone.answer, { toTag, ...(phone.answer === '200 OK' ? withSdp : {}) }), from.port);
    } else if (method !== 'ACK') {
      if (method === 'BYE') phone.byes.push(message);
      send(formatAnswer(message, '200 OK', { toTag }), from.port);
    }
  });

  /** One request until its final answer. */
  async function transact(
    method: string,
    uri: string,
    headers: string[],
    o2: { callId: string; seq: number; to: number; body?: string },
  ): Promise<SipMessage> {
    const branch = `z9hG4bK${randomBytes(6).toString('hex')}`;
    const all = [
      `Via: SIP/2.0/UDP 127.0.0.1:${port};rport;branch=${branch}`,
      `Call-ID: ${o2.callId}`,
      `CSeq: ${o2.seq} ${method}`,
      ...headers,
    ];
    const key = `${o2.callId} ${o2.seq} ${method}`;
    return new Promise<SipMessage>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer to ${method} ${uri}`)), TIMEOUT_MS);
      waiters.set(key, (message) => {
        clearTimeout(timer);
        waiters.delete(key);
        if (method === 'INVITE') {
          const route = [
            `Via: SIP/2.0/UDP 127.0.0.1:${port};rport;branch=${status(message) < 300 ? `${branch}a` : branch}`,
          ];
          const ack = [
            ...route,
            `From: ${headerOf(message, 'from')}`,
            `To: ${headerOf(message, 'to')}`,
            `Call-ID: ${o2.callId}`,
            `CSeq: ${o2.seq} ACK`,
          ];
          send(formatRequest(`ACK ${uri} SIP/2.0`, ack), o2.to);
        }
        resolve(message);
      });
      send(formatRequest(`${method} ${uri} SIP/2.0`, all, o2.body), o2.to);
    });
  }

  /** Asks again with a password where one is wanted. */
  async function authenticated(
    method: string,
    uri: string,
    headers: string[],
    o2: { callId: string; to: number; password: string; body?: string },
  ): Promise<SipMessage> {
    const first = await transact(method, uri, headers, { ...o2, seq: 1 });
    const [name, field] =
      status(first) === 401 ? ['Authorization', 'www-authenticate'] : ['Proxy-Authorization', 'proxy-authenticate'];
    const challenge = headerOf(first, field!);
    if (!challenge) return first;
    const proof = answerChallenge(parseChallenge(challenge), {
      method,
      uri,
      username: o.username,
      password: o2.password,
    });
    return transact(method, uri, [...headers, `${name}: ${proof}`], { ...o2, seq: 2 });
  }

  const phone: TestPhone = {
    port,
    invites: [],
    byes: [],
    answer: '486 Busy Here',
    async register(password) {
      const self = `<sip:${o.username}@${o.domain}>`;
      const headers = [`From: ${self};tag=r`, `To: ${self}`, `Contact: <${contact}>`, 'Expires: 60'];
      const callId = randomBytes(6).toString('hex');
      return status(await authenticated('REGISTER', `sip:${o.domain}`, headers, { callId, to: o.nodePort, password }));
    },
    async call(number, { password = '', toPort = o.nodePort, headers: more = [] } = {}) {
      const callId = randomBytes(6).toString('hex');
      const uri = `sip:${number}@${o.domain}`;
      const headers = [
        `From: <sip:${o.username}@${o.domain}>;tag=c`,
        `To: <${uri}>`,
        `Contact: <${contact}>`,
        'Content-Type: application/sdp',
        ...more,
      ];
      const final = await authenticated('INVITE', uri, headers, { callId, to: toPort, password, body: sdp() });
      const dialogHeaders = [`From: ${headerOf(final, 'from')}`, `To: ${headerOf(final, 'to')}`];
      const target = /<([^>]+)>/.exec(headerOf(final, 'contact') ?? '')?.[1] ?? uri;
      return {
        status: status(final),
        hangup: async () => status(await transact('BYE', target, dialogHeaders, { callId, seq: 9, to: toPort })),
      };
    },
    close: () => socket.close(),
  };
  return phone;
}

function status(message: SipMessage): number {
  return Number(message.start.split(' ')[1]);
}
