/** Somebody on a UDP socket who speaks to a node's SIP door: sends what they are told, and keeps what comes. */
import { createHash, randomBytes } from 'node:crypto';
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { parseChallenge } from '../../../../sip-phone/digest';
import { formatAnswer, headerOf, parseSip, type SipMessage } from '../../../../sip-phone/message';

/** Who somebody is to a node; nobody where there is none. */
export interface Login {
  username: string;
  realm: string;
  ha1: string;
}

export interface SipDialog {
  callId: string;
  fromTag: string;
  toTag: string;
  remote: string;
  requestUri: string;
  sequence: number;
}

export interface SipActor {
  readonly host: string;
  readonly port: number;
  readonly login: Login | undefined;
  /** Requests that came, of every method. */
  readonly requests: SipMessage[];
  /** Sends a request, answers a challenge where it `proves`, and gives the last answer; undefined where none comes. */
  ask(request: SipRequest): Promise<SipMessage | undefined>;
  close(): void;
}

export interface SipRequest {
  method: string;
  requestUri: string;
  from: string;
  to: string;
  contact: string;
  headers: readonly string[];
  body: readonly [string, string] | undefined;
  proves: boolean;
  /** Within this dialog. */
  dialog?: SipDialog;
  /** Told the provisional answer, where a request is made inside a call that still rings. */
  waitMs?: number;
  /** Any final answer but a challenge, or a ringing one. */
  until?: (message: SipMessage) => boolean;
}

const md5 = (text: string): string => createHash('md5').update(text).digest('hex');
const hex = (bytes: number): string => randomBytes(bytes).toString('hex');
const WAIT_MS = 400;

export const statusOf = (message: SipMessage): number => Number(message.start.split(' ')[1]);
export const tagOf = (header: string | undefined): string => /;tag=([^;>\s]+)/.exec(header ?? '')?.[1] ?? '';

export const SDP =
  'v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n';

/** @param host its own address: 127.0.0.1, or another one of the loopback @param answers INVITEs with 200, or only keeps them */
export async function openSipActor(o: {
  nodePort: number;
  host?: string;
  login?: Login;
  answers?: boolean;
}): Promise<SipActor> {
  const host = o.host ?? '127.0.0.1';
  const socket: Socket = createSocket('udp4');
  await new Promise<void>((done, fail) => {
    socket.once('error', fail);
    socket.bind(0, host, done);
  });
  socket.on('error', () => undefined);
  const { port } = socket.address();
  const requests: SipMessage[] = [];
  const waiters = new Map<string, (message: SipMessage) => void>();

  const send = (text: string, to: number): void => socket.send(text, to, '127.0.0.1', () => undefined);

  socket.on('message', (data, from: RemoteInfo) => {
    const message = parseSip(data.toString('latin1'));
    if (!message) return;
    const key = `${headerOf(message, 'call-id')} ${headerOf(message, 'cseq')}`;
    if (message.start.startsWith('SIP/2.0')) return void waiters.get(key)?.(message);
    requests.push(message);
    const method = message.start.split(' ')[0];
    if (method === 'ACK') return;
    if (method === 'INVITE' && o.answers === false) return;
    const headers = [
      `Contact: <sip:x@${host}:${port}>`,
      ...(method === 'INVITE' ? ['Content-Type: application/sdp'] : []),
    ];
    send(formatAnswer(message, '200 OK', { toTag: 'actor', headers, body: method === 'INVITE' ? SDP : '' }), from.port);
  });

  async function once(
    r: SipRequest,
    line: { callId: string; sequence: number; fromTag: string },
    proof: string[],
  ): Promise<SipMessage | undefined> {
    const branch = `z9hG4bK${hex(6)}`;
    const tag = r.dialog?.toTag ?? '';
    const text = [
      `${r.method} ${r.requestUri} SIP/2.0`,
      `Via: SIP/2.0/UDP ${host}:${port};rport;branch=${branch}`,
      'Max-Forwards: 70',
      `From: <${r.from}>;tag=${line.fromTag}`,
      `To: <${r.to}>${tag === '' ? '' : `;tag=${tag}`}`,
      `Call-ID: ${line.callId}`,
      `CSeq: ${line.sequence} ${r.method}`,
      `Contact: ${r.contact === '*' ? '*' : `<${r.contact}>`}`,
      ...r.headers,
      ...proof,
      ...(r.body ? [`Content-Type: ${r.body[0]}`] : []),
      `Content-Length: ${Buffer.byteLength(r.body?.[1] ?? '')}`,
      '',
      r.body?.[1] ?? '',
    ].join('\r\n');
    const key = `${line.callId} ${line.sequence} ${r.method}`;
    return new Promise((resolve) => {
      let last: SipMessage | undefined;
      const done = (): void => {
        clearTimeout(timer);
        waiters.delete(key);
        resolve(last);
      };
      const timer = setTimeout(done, r.waitMs ?? WAIT_MS);
      waiters.set(key, (message) => {
        last = message;
        const status = statusOf(message);
        if (status >= 200 && r.method === 'INVITE') acknowledge(r, line, branch, message);
        if (status >= 200 || r.until?.(message)) done();
      });
      send(text, o.nodePort);
      if (r.method === 'ACK') done();
    });
  }

  function acknowledge(
    r: SipRequest,
    line: { callId: string; sequence: number },
    branch: string,
    answer: SipMessage,
  ): void {
    const isTaken = statusOf(answer) < 300;
    const target = isTaken ? (/<([^>]+)>/.exec(headerOf(answer, 'contact') ?? '')?.[1] ?? r.requestUri) : r.requestUri;
    const lines = [
      `ACK ${target} SIP/2.0`,
      `Via: SIP/2.0/UDP ${host}:${port};rport;branch=${isTaken ? `z9hG4bK${hex(6)}` : branch}`,
      'Max-Forwards: 70',
      `From: ${headerOf(answer, 'from')}`,
      `To: ${headerOf(answer, 'to')}`,
      `Call-ID: ${line.callId}`,
      `CSeq: ${line.sequence} ACK`,
      'Content-Length: 0',
    ];
    send(`${lines.join('\r\n')}\r\n\r\n`, o.nodePort);
  }

  async function ask(r: SipRequest): Promise<SipMessage | undefined> {
    const { dialog, login } = { ...r, login: o.login };
    const line = dialog
      ? { callId: dialog.callId, fromTag: dialog.fromTag, sequence: (dialog.sequence += 1) }
      : { callId: `${hex(8)}@${host}`, fromTag: hex(4), sequence: 1 };
    const first = await once(r, line, []);
    const field = first && (headerOf(first, 'www-authenticate') ?? headerOf(first, 'proxy-authenticate'));
    if (!first || !field || !r.proves || !login) return first;
    const name = headerOf(first, 'www-authenticate') ? 'Authorization' : 'Proxy-Authorization';
    if (dialog) dialog.sequence += 1;
    return once(r, { ...line, sequence: line.sequence + 1 }, [
      `${name}: ${prove(login, field, r.method, r.requestUri)}`,
    ]);
  }

  return { host, port, login: o.login, requests, ask, close: () => socket.close() };
}

function prove(login: Login, challenge: string, method: string, uri: string): string {
  const { realm, nonce, qop, opaque } = parseChallenge(challenge);
  const ha2 = md5(`${method}:${uri}`);
  const cnonce = hex(8);
  const response = qop
    ? md5(`${login.ha1}:${nonce}:00000001:${cnonce}:auth:${ha2}`)
    : md5(`${login.ha1}:${nonce}:${ha2}`);
  const parts = [
    `username="${login.username}"`,
    // The realm is signed into the hash: another one than the login's own is shown as it was asked for.
    `realm="${realm}"`,
    `nonce="${nonce}"`,
    `uri="${uri}"`,
    `response="${response}"`,
    'algorithm=MD5',
    ...(qop ? ['qop=auth', 'nc=00000001', `cnonce="${cnonce}"`] : []),
    ...(opaque ? [`opaque="${opaque}"`] : []),
  ];
  return `Digest ${parts.join(', ')}`;
}

export const hashPassword = (username: string, realm: string, password: string): string =>
  md5(`${username}:${realm}:${password}`);
