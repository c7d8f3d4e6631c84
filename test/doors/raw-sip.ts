/** SIP written by hand over UDP, for those who say what no honest phone says: each header is the test's own. */
import { createHash, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import {
  formatAnswer,
  formatRequest,
  headerOf,
  parseChallenge,
  parseSip,
  type SipMessage,
} from '../../scripts/demo/sip-message';

const ANSWER_TIMEOUT_MS = 10_000;

/** Who a password is shown for; `realm` is what the digest is over, and the challenge's where it is left out. */
export interface Login {
  username: string;
  password?: string;
  ha1?: string;
  realm?: string;
}

export interface RawRequest {
  method: string;
  uri: string;
  /** Addresses without brackets. */
  from: string;
  to: string;
  /** Left out: `x` at the socket's own address; empty: no Contact at all. */
  contact?: string;
  headers?: readonly string[];
  body?: string;
  bodyType?: string;
  login?: Login;
  /** For a request inside a dialog. */
  dialog?: Dialog;
  /** Left out: one of its own. */
  callId?: string;
}

export interface Dialog {
  callId: string;
  fromTag: string;
  toTag: string;
  /** Where its requests go: the other side's contact. */
  target: string;
  from: string;
  to: string;
  nextSequence: number;
}

export interface RawAnswer {
  status: number;
  message: SipMessage;
  /** Where it was a 200 to an INVITE. */
  dialog?: Dialog;
}

export interface RawSip {
  readonly port: number;
  readonly address: string;
  /** Requests that came here, newest last. */
  readonly got: SipMessage[];
  /** What is answered to an INVITE that comes here: status, and further headers. */
  onInvite: (invite: SipMessage) => { status: string; headers?: string[] } | undefined;
  /** @returns the final answer. @throws where none came */
  send(request: RawRequest): Promise<RawAnswer>;
  countOf(method: string): number;
  close(): void;
}

const md5 = (text: string): string => createHash('md5').update(text).digest('hex');
const tag = (): string => randomBytes(6).toString('hex');
const statusOf = (message: SipMessage): number => Number(message.start.split(' ')[1]);
const methodOf = (message: SipMessage): string => message.start.split(' ')[0]!;
const tagIn = (header: string | undefined): string => /;tag=([^;>\s]+)/.exec(header ?? '')?.[1] ?? '';

const familyOf = (address: string): string => (address.includes(':') ? 'IP6' : 'IP4');
/** Sound only, to a port at which nobody listens. */
export const sdpOf = (address: string, port = 40_000): string =>
  [
    'v=0',
    `o=- 1 1 IN ${familyOf(address)} ${address}`,
    's=-',
    `c=IN ${familyOf(address)} ${address}`,
    't=0 0',
    `m=audio ${port} RTP/AVP 0 101`,
    'a=rtpmap:0 PCMU/8000',
    'a=rtpmap:101 telephone-event/8000',
    '',
  ].join('\r\n');

function proofOf(message: SipMessage, request: RawRequest, login: Login): string {
  const isProxy = statusOf(message) === 407;
  const challenge = parseChallenge(headerOf(message, isProxy ? 'proxy-authenticate' : 'www-authenticate') ?? '');
  const realm = login.realm ?? challenge.realm;
  const ha1 = login.ha1 ?? md5(`${login.username}:${realm}:${login.password ?? ''}`);
  const response = md5(`${ha1}:${challenge.nonce}:00000001:abc:auth:${md5(`${request.method}:${request.uri}`)}`);
  const fields = [`username="${login.username}"`, `realm="${realm}"`, `nonce="${challenge.nonce}"`];
  fields.push(`uri="${request.uri}"`, `response="${response}"`, 'algorithm=MD5', 'qop=auth', 'nc=00000001');
  return `${isProxy ? 'Proxy-Authorization' : 'Authorization'}: Digest ${fields.join(', ')}, cnonce="abc"`;
}

/** @param o.address the loopback address it speaks from */
export async function openRawSip(o: { nodePort: number; address?: string }): Promise<RawSip> {
  const address = o.address ?? '127.0.0.1';
  const isIpv6 = address.includes(':');
  const named = isIpv6 ? `[${address}]` : address;
  const socket = createSocket(isIpv6 ? 'udp6' : 'udp4');
  await new Promise<void>((done) => socket.bind(0, address, done));
  const { port } = socket.address();
  const waiters = new Map<string, (message: SipMessage) => void>();
  const got: SipMessage[] = [];
  const write = (text: string, to = o.nodePort, host = isIpv6 ? '::1' : '127.0.0.1'): void =>
    socket.send(text, to, host);

  socket.on('message', (bytes, from) => {
    const message = parseSip(bytes.toString());
    if (!message) return;
    if (message.start.startsWith('SIP/2.0')) {
      if (statusOf(message) >= 200)
        waiters.get(`${headerOf(message, 'call-id')} ${headerOf(message, 'cseq')}`)?.(message);
      return;
    }
    got.push(message);
    const method = methodOf(message);
    if (method === 'ACK') return;
    const answer = method === 'INVITE' ? raw.onInvite(message) : { status: '200 OK' };
    if (!answer) return;
    const withSdp = method === 'INVITE' && answer.status.startsWith('200');
    const headers = [`Contact: <sip:x@${named}:${port}>`, ...(answer.headers ?? [])];
    if (withSdp) headers.push('Content-Type: application/sdp');
    const own = answer.headers?.some((header) => header.startsWith('Contact')) ? headers.slice(1) : headers;
    const body = withSdp ? sdpOf(address) : undefined;
    write(formatAnswer(message, answer.status, { toTag: 'raw', headers: own, body }), from.port, from.address);
  });

  async function once(request: RawRequest, ids: { callId: string; fromTag: string; sequence: number }, more: string[]) {
    const branch = `z9hG4bK${tag()}`;
    const dialog = request.dialog;
    const via = `Via: SIP/2.0/UDP ${named}:${port};rport;branch=`;
    const names = [
      `From: <${dialog?.from ?? request.from}>;tag=${ids.fromTag}`,
      `To: <${dialog?.to ?? request.to}>${dialog ? `;tag=${dialog.toTag}` : ''}`,
      `Call-ID: ${ids.callId}`,
    ];
    const contact = request.contact ?? `sip:x@${named}:${port}`;
    const lines = [
      `${via}${branch}`,
      ...names,
      `CSeq: ${ids.sequence} ${request.method}`,
      ...(contact === '' ? [] : [`Contact: ${contact.startsWith('*') ? contact : `<${contact}>`}`]),
      ...(request.headers ?? []),
      ...more,
      ...(request.bodyType ? [`Content-Type: ${request.bodyType}`] : []),
    ];
    const key = `${ids.callId} ${ids.sequence} ${request.method}`;
    const text = formatRequest(`${request.method} ${request.uri} SIP/2.0`, lines, request.body);
    return new Promise<SipMessage>((resolve, reject) => {
      const again = setInterval(() => write(text), 2000);
      const end = (): void => {
        clearInterval(again);
        clearTimeout(timer);
        waiters.delete(key);
      };
      const timer = setTimeout(() => {
        end();
        reject(new Error(`no answer to ${request.method} ${request.uri}`));
      }, ANSWER_TIMEOUT_MS);
      waiters.set(key, (message) => {
        end();
        if (request.method === 'INVITE') {
          const isOk = statusOf(message) < 300;
          const target = isOk ? (contactOf(message) ?? request.uri) : request.uri;
          const ack = [`${via}${isOk ? `z9hG4bK${tag()}` : branch}`, names[0]!, `To: ${headerOf(message, 'to')}`];
          write(formatRequest(`ACK ${target} SIP/2.0`, [...ack, names[2]!, `CSeq: ${ids.sequence} ACK`]));
        }
        resolve(message);
      });
      write(text);
    });
  }

  const contactOf = (message: SipMessage): string | undefined =>
    /<([^>]+)>/.exec(headerOf(message, 'contact') ?? '')?.[1];

  const raw: RawSip = {
    port,
    address,
    got,
    onInvite: () => ({ status: '200 OK' }),
    async send(request) {
      const ids = {
        callId: request.dialog?.callId ?? request.callId ?? `${tag()}@raw`,
        fromTag: request.dialog?.fromTag ?? tag(),
        sequence: request.dialog ? request.dialog.nextSequence++ : 1,
      };
      let message = await once(request, ids, []);
      if ([401, 407].includes(statusOf(message)) && request.login) {
        ids.sequence = request.dialog ? request.dialog.nextSequence++ : 2;
        message = await once(request, ids, [proofOf(message, request, request.login)]);
      }
      const isCall = request.method === 'INVITE' && statusOf(message) === 200;
      const dialog: Dialog | undefined = isCall
        ? {
            callId: ids.callId,
            fromTag: ids.fromTag,
            toTag: tagIn(headerOf(message, 'to')),
            target: contactOf(message) ?? request.uri,
            from: request.from,
            to: request.to,
            nextSequence: ids.sequence + 1,
          }
        : undefined;
      return { status: statusOf(message), message, ...(dialog ? { dialog } : {}) };
    },
    countOf: (method) => got.filter((message) => methodOf(message) === method).length,
    close: () => socket.close(),
  };
  return raw;
}
