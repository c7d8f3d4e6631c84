/** Somebody at one address who tries to log in, with SIP written by hand: right, wrong, stale, by any method. */
import { proofHeader } from '../../scripts/sip-phone/digest';
import { statusOf, type SipMessage } from '../../scripts/sip-phone/message';
import { openSipSocket, sipId } from '../../scripts/sip-phone/sip-socket';

export interface Try {
  username: string;
  domain: string;
  password: string;
  method?: 'REGISTER' | 'INVITE' | 'MESSAGE';
  /** Instead of the nonce of the challenge. */
  nonce?: string;
  /** The older digest, by which one nonce serves for many tries. */
  withoutQop?: boolean;
  /** In the proof; the request's own where it is left out. */
  uri?: string;
}

export interface Guesser {
  readonly port: number;
  /** One challenge and one answer to it. @returns the status of the second */
  try(nodePort: number, o: Try): Promise<number>;
  /** Asks without showing anything. @returns 401 or 407 */
  ask(nodePort: number, o: Omit<Try, 'password'>): Promise<number>;
  close(): void;
}

const TIMEOUT_MS = 20_000;
const RESEND_MS = 1000;

/** @param address one of this machine's: 127.0.0.2 is another than 127.0.0.1 to a node */
export async function openGuesser(address: string): Promise<Guesser> {
  const sip = await openSipSocket({
    ...{ host: address, timeoutMs: TIMEOUT_MS, resendMs: RESEND_MS },
    onRequest: () => undefined,
  });

  function request(
    nodePort: number,
    o: Omit<Try, 'password'>,
    callId: string,
    sequence: number,
    more: string[],
  ): Promise<SipMessage> {
    const { method = 'REGISTER', username, domain } = o;
    const self = `<sip:${username}@${domain}>`;
    const headers = [
      `From: ${self};tag=${callId}`,
      `To: ${method === 'REGISTER' ? self : `<${uriOf(o)}>`}`,
      `Contact: <sip:${username}@${address}:${sip.port}>`,
      ...(method === 'REGISTER' ? ['Expires: 60'] : []),
      ...more,
    ];
    return sip.request({ method, uri: uriOf(o), callId, sequence, headers, to: { host: '127.0.0.1', port: nodePort } });
  }

  return {
    port: sip.port,
    async try(nodePort, o) {
      const callId = sipId();
      const first = await request(nodePort, o, callId, 1, []);
      const proof = proofHeader(first, { method: 'REGISTER', ...o, uri: o.uri ?? uriOf(o) });
      return statusOf(proof ? await request(nodePort, o, callId, 2, [proof]) : first);
    },
    ask: async (nodePort, o) => statusOf(await request(nodePort, o, sipId(), 1, [])),
    close: () => sip.close(),
  };
}

const uriOf = ({ method = 'REGISTER', domain }: Pick<Try, 'method' | 'domain'>): string =>
  method === 'REGISTER' ? `sip:${domain}` : `sip:9196@${domain}`;
