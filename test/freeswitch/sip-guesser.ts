/** Somebody at one address who tries to log in, with SIP written by hand: right, wrong, stale, by any method. */
import { createHash, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { formatRequest, headerOf, parseChallenge, parseSip, type SipMessage } from '../../scripts/demo/sip-message';

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
const md5 = (text: string): string => createHash('md5').update(text).digest('hex');
const statusOf = (message: SipMessage): number => Number(message.start.split(' ')[1]);

/** @param address one of this machine's: 127.0.0.2 is another than 127.0.0.1 to a node */
export async function openGuesser(address: string): Promise<Guesser> {
  const socket = createSocket('udp4');
  await new Promise<void>((done) => socket.bind(0, address, done));
  const { port } = socket.address();
  const waiters = new Map<string, (message: SipMessage) => void>();
  socket.on('message', (bytes) => {
    const message = parseSip(bytes.toString());
    if (message?.start.startsWith('SIP/2.0') && statusOf(message) >= 200) {
      waiters.get(`${headerOf(message, 'call-id')} ${headerOf(message, 'cseq')}`)?.(message);
    }
  });

  function request(nodePort: number, o: Omit<Try, 'password'>, callId: string, seq: number, more: string[]) {
    const { method = 'REGISTER', username, domain } = o;
    const self = `<sip:${username}@${domain}>`;
    const headers = [
      `Via: SIP/2.0/UDP ${address}:${port};rport;branch=z9hG4bK${randomBytes(8).toString('hex')}`,
      `From: ${self};tag=${callId}`,
      `To: ${method === 'REGISTER' ? self : `<${uriOf(o)}>`}`,
      `Call-ID: ${callId}`,
      `CSeq: ${seq} ${method}`,
      `Contact: <sip:${username}@${address}:${port}>`,
      ...(method === 'REGISTER' ? ['Expires: 60'] : []),
      ...more,
    ];
    return new Promise<SipMessage>((resolve, reject) => {
      const key = `${callId} ${seq} ${method}`;
      const text = formatRequest(`${method} ${uriOf(o)} SIP/2.0`, headers);
      const send = (): void => socket.send(text, nodePort, '127.0.0.1');
      const again = setInterval(send, 1000); // it is UDP
      const timer = setTimeout(() => {
        clearInterval(again);
        reject(new Error(`no answer to ${key}`));
      }, TIMEOUT_MS);
      waiters.set(key, (message) => {
        clearInterval(again);
        clearTimeout(timer);
        waiters.delete(key);
        resolve(message);
      });
      send();
    });
  }

  return {
    port,
    async try(nodePort, o) {
      const callId = randomBytes(8).toString('hex');
      const first = await request(nodePort, o, callId, 1, []);
      const written = headerOf(first, 'www-authenticate') ?? headerOf(first, 'proxy-authenticate');
      if (written === undefined) return statusOf(first);
      const name = statusOf(first) === 401 ? 'Authorization' : 'Proxy-Authorization';
      return statusOf(await request(nodePort, o, callId, 2, [`${name}: ${proofOf(o, written)}`]));
    },
    async ask(nodePort, o) {
      return statusOf(await request(nodePort, o, randomBytes(8).toString('hex'), 1, []));
    },
    close: () => socket.close(),
  };
}

const uriOf = ({ method = 'REGISTER', domain }: Pick<Try, 'method' | 'domain'>): string =>
  method === 'REGISTER' ? `sip:${domain}` : `sip:9196@${domain}`;

function proofOf(o: Try, challenge: string): string {
  const { realm, nonce: given } = parseChallenge(challenge);
  const nonce = o.nonce ?? given;
  const uri = o.uri ?? uriOf(o);
  const ha1 = md5(`${o.username}:${realm}:${o.password}`);
  const request = md5(`${o.method ?? 'REGISTER'}:${uri}`);
  const head = `Digest username="${o.username}", realm="${realm}", nonce="${nonce}", uri="${uri}", algorithm=MD5`;
  if (o.withoutQop) return `${head}, response="${md5(`${ha1}:${nonce}:${request}`)}"`;
  const response = md5(`${ha1}:${nonce}:00000001:0a4f:auth:${request}`);
  return `${head}, qop=auth, nc=00000001, cnonce="0a4f", response="${response}"`;
}
