/** A UDP socket that speaks SIP: a request goes out until it is answered, and an answered INVITE is acknowledged. */
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { contactOf, formatRequest, headerOf, parseSip, statusOf, type SipMessage } from './message';

export interface Peer {
  host: string;
  port: number;
}

export interface SipRequest {
  method: string;
  uri: string;
  callId: string;
  sequence: number;
  /** All but Via, Call-ID and CSeq. */
  headers: readonly string[];
  body?: string;
  to: Peer;
}

export interface SipSocket {
  readonly port: number;
  /** As it stands in a SIP address: IPv6 in brackets. */
  readonly host: string;
  send(text: string, to: Peer): void;
  /** @returns the final answer. @throws where none came in time */
  request(request: SipRequest): Promise<SipMessage>;
  close(): void;
}

const RESEND_MS = 500;

interface Waiting {
  resend: NodeJS.Timeout;
  resolve: (answer: SipMessage) => void;
  reject: (fault: Error) => void;
}

/** An id for a call, a tag or a branch. */
export const sipId = (bytes = 8): string => randomBytes(bytes).toString('hex');

/** @param o.host this machine's address that it speaks from */
export async function openSipSocket(o: {
  host: string;
  timeoutMs: number;
  resendMs?: number;
  onRequest: (message: SipMessage, from: Peer) => void;
}): Promise<SipSocket> {
  const isIpv6 = o.host.includes(':');
  const host = isIpv6 ? `[${o.host}]` : o.host;
  const socket = createSocket(isIpv6 ? 'udp6' : 'udp4');
  socket.on('error', () => undefined);
  socket.bind(0, o.host);
  await once(socket, 'listening');
  const { port } = socket.address();
  const waiting = new Map<string, Waiting>();
  let isOpen = true;
  /** For answers that come again, since the acknowledgement was lost. */
  const acknowledged = new Map<string, () => void>();

  const send = (text: string, to: Peer): void => {
    if (isOpen) socket.send(Buffer.from(text), to.port, to.host);
  };
  const via = (branch: string): string => `Via: SIP/2.0/UDP ${host}:${port};rport;branch=${branch}`;
  const branchId = (): string => `z9hG4bK${sipId(6)}`;

  socket.on('message', (data, from) => {
    const message = parseSip(data.toString('utf8'));
    if (!message) return;
    if (!message.start.startsWith('SIP/2.0')) return o.onRequest(message, { host: from.address, port: from.port });
    const key = `${headerOf(message, 'call-id')} ${headerOf(message, 'cseq')}`;
    if (statusOf(message) < 200) clearInterval(waiting.get(key)?.resend);
    else if (waiting.has(key)) waiting.get(key)!.resolve(message);
    else acknowledged.get(key)?.();
  });

  function acknowledge(request: SipRequest, answer: SipMessage, branch: string): void {
    const isTaken = statusOf(answer) < 300;
    const target = isTaken ? (contactOf(answer) ?? request.uri) : request.uri;
    const lines = [
      via(isTaken ? branchId() : branch),
      `From: ${headerOf(answer, 'from')}`,
      `To: ${headerOf(answer, 'to')}`,
      `Call-ID: ${request.callId}`,
      `CSeq: ${request.sequence} ACK`,
    ];
    const ack = (): void => send(formatRequest(`ACK ${target} SIP/2.0`, lines), request.to);
    acknowledged.set(`${request.callId} ${request.sequence} INVITE`, ack);
    ack();
  }

  return {
    port,
    host,
    send,
    close: () => {
      if (!isOpen) return;
      isOpen = false;
      for (const { reject } of waiting.values()) reject(new Error('The phone was closed.'));
      socket.close();
    },
    async request(request) {
      const { method, uri, callId, sequence } = request;
      const branch = branchId();
      const key = `${callId} ${sequence} ${method}`;
      const lines = [via(branch), `Call-ID: ${callId}`, `CSeq: ${sequence} ${method}`, ...request.headers];
      const text = formatRequest(`${method} ${uri} SIP/2.0`, lines, request.body);
      const resend = setInterval(() => send(text, request.to), o.resendMs ?? RESEND_MS);
      let late: NodeJS.Timeout | undefined;
      try {
        const answer = await new Promise<SipMessage>((resolve, reject) => {
          waiting.set(key, { resend, resolve, reject });
          late = setTimeout(
            () => reject(new Error(`${request.to.host}:${request.to.port} did not answer ${method} ${uri}.`)),
            o.timeoutMs,
          );
          send(text, request.to);
        });
        if (method === 'INVITE') acknowledge(request, answer, branch);
        return answer;
      } finally {
        clearInterval(resend);
        clearTimeout(late);
        waiting.delete(key);
      }
    },
  };
}
