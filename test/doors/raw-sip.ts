/** SIP written by hand over UDP, for those who say what no honest phone says: each header is the test's own. */
import { proofHeader } from '../../scripts/sip-phone/digest';
import {
  contactOf,
  formatAnswer,
  headerOf,
  methodOf,
  statusOf,
  tagOf,
  type SipMessage,
} from '../../scripts/sip-phone/message';
import { openSipSocket, sipId } from '../../scripts/sip-phone/sip-socket';

const ANSWER_TIMEOUT_MS = 10_000;
const RESEND_MS = 2000;

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

/** @param o.address the loopback address it speaks from */
export async function openRawSip(o: { nodePort: number; address?: string }): Promise<RawSip> {
  const address = o.address ?? '127.0.0.1';
  const to = { host: address.includes(':') ? '::1' : '127.0.0.1', port: o.nodePort };
  const got: SipMessage[] = [];
  const sip = await openSipSocket({
    ...{ host: address, timeoutMs: ANSWER_TIMEOUT_MS, resendMs: RESEND_MS },
    onRequest(message, from) {
      got.push(message);
      const method = methodOf(message);
      if (method === 'ACK') return;
      const answer = method === 'INVITE' ? raw.onInvite(message) : { status: '200 OK' };
      if (!answer) return;
      const withSdp = method === 'INVITE' && answer.status.startsWith('200');
      const headers = [`Contact: <${own}>`, ...(answer.headers ?? [])];
      if (withSdp) headers.push('Content-Type: application/sdp');
      const said = answer.headers?.some((header) => header.startsWith('Contact')) ? headers.slice(1) : headers;
      const body = withSdp ? sdpOf(address) : undefined;
      sip.send(formatAnswer(message, answer.status, { toTag: 'raw', headers: said, body }), from);
    },
  });
  const own = `sip:x@${sip.host}:${sip.port}`;

  function ask(request: RawRequest, ids: { callId: string; fromTag: string; sequence: number }, more: string[]) {
    const { method, uri, body, dialog, contact = own } = request;
    const headers = [
      `From: <${dialog?.from ?? request.from}>;tag=${ids.fromTag}`,
      `To: <${dialog?.to ?? request.to}>${dialog ? `;tag=${dialog.toTag}` : ''}`,
      ...(contact === '' ? [] : [`Contact: ${contact.startsWith('*') ? contact : `<${contact}>`}`]),
      ...(request.headers ?? []),
      ...more,
      ...(request.bodyType ? [`Content-Type: ${request.bodyType}`] : []),
    ];
    return sip.request({ method, uri, callId: ids.callId, sequence: ids.sequence, headers, body, to });
  }

  const raw: RawSip = {
    port: sip.port,
    address,
    got,
    onInvite: () => ({ status: '200 OK' }),
    async send(request) {
      const { method, uri, login, dialog: inside } = request;
      const ids = {
        callId: inside?.callId ?? request.callId ?? `${sipId(6)}@raw`,
        fromTag: inside?.fromTag ?? sipId(6),
        sequence: inside ? inside.nextSequence++ : 1,
      };
      let message = await ask(request, ids, []);
      const proof = login && proofHeader(message, { method, uri, ...login });
      if (proof) {
        ids.sequence = inside ? inside.nextSequence++ : 2;
        message = await ask(request, ids, [proof]);
      }
      const isCall = method === 'INVITE' && statusOf(message) === 200;
      const dialog: Dialog | undefined = isCall
        ? {
            callId: ids.callId,
            fromTag: ids.fromTag,
            toTag: tagOf(headerOf(message, 'to')),
            target: contactOf(message) ?? request.uri,
            from: request.from,
            to: request.to,
            nextSequence: ids.sequence + 1,
          }
        : undefined;
      return { status: statusOf(message), message, ...(dialog ? { dialog } : {}) };
    },
    countOf: (method) => got.filter((message) => methodOf(message) === method).length,
    close: () => sip.close(),
  };
  return raw;
}
