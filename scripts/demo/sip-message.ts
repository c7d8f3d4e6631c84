/** Reads and writes just enough SIP for a phone that registers and answers: no library, so that the demo needs nothing. */
import { createHash, randomBytes } from 'node:crypto';

export interface SipMessage {
  /** "INVITE sip:…  SIP/2.0" or "SIP/2.0 200 OK". */
  readonly start: string;
  /** Names in lower case, short forms written out; in the order they came. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
}

const SHORT: Record<string, string> = { v: 'via', f: 'from', t: 'to', i: 'call-id', m: 'contact', l: 'content-length' };

/** @returns undefined for what is not SIP, such as a keep-alive. */
export function parseSip(text: string): SipMessage | undefined {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const [start, ...lines] = text
    .slice(0, end)
    .replace(/\r\n[ \t]+/g, ' ')
    .split('\r\n');
  if (!start?.includes('SIP/2.0')) return undefined;
  const headers = lines.map((line) => {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).trim().toLowerCase();
    return [SHORT[name] ?? name, line.slice(colon + 1).trim()] as const;
  });
  return { start, headers, body: text.slice(end + 4) };
}

export function headerOf(message: SipMessage, name: string): string | undefined {
  return message.headers.find(([n]) => n === name)?.[1];
}

/** An answer to `request`: it repeats what ties the two together. */
export function formatAnswer(
  request: SipMessage,
  status: string,
  o: { toTag: string; headers?: string[]; body?: string },
): string {
  const kept = request.headers
    .filter(([name]) => ['via', 'from', 'to', 'call-id', 'cseq', 'record-route'].includes(name))
    .map(([name, value]) =>
      name === 'to' && !/;tag=/.test(value) ? `To: ${value};tag=${o.toTag}` : `${name}: ${value}`,
    );
  return join([`SIP/2.0 ${status}`, ...kept, ...(o.headers ?? [])], o.body ?? '');
}

/** A request of our own. */
export function formatRequest(start: string, headers: string[], body = ''): string {
  return join([start, 'Max-Forwards: 70', ...headers], body);
}

function join(lines: string[], body: string): string {
  return [...lines, `Content-Length: ${Buffer.byteLength(body)}`, '', body].join('\r\n');
}

export interface Challenge {
  realm: string;
  nonce: string;
  qop: boolean;
  opaque?: string;
}

/** Reads "Digest realm=…, nonce=…". */
export function parseChallenge(value: string): Challenge {
  const field = (name: string): string | undefined =>
    new RegExp(`\\b${name}="?([^",]+)"?`, 'i').exec(value.replace(/^Digest\s+/i, ''))?.[1];
  return {
    realm: field('realm') ?? '',
    nonce: field('nonce') ?? '',
    qop: /auth/.test(field('qop') ?? ''),
    opaque: field('opaque'),
  };
}

/** The Authorization header's value (RFC 2617, MD5). */
export function answerChallenge(
  challenge: Challenge,
  o: { method: string; uri: string; username: string; password: string; cnonce?: string },
): string {
  const md5 = (s: string): string => createHash('md5').update(s).digest('hex');
  const ha1 = md5(`${o.username}:${challenge.realm}:${o.password}`);
  const ha2 = md5(`${o.method}:${o.uri}`);
  const cnonce = o.cnonce ?? randomBytes(8).toString('hex');
  const response = challenge.qop
    ? md5(`${ha1}:${challenge.nonce}:00000001:${cnonce}:auth:${ha2}`)
    : md5(`${ha1}:${challenge.nonce}:${ha2}`);
  const parts = [
    `username="${o.username}"`,
    `realm="${challenge.realm}"`,
    `nonce="${challenge.nonce}"`,
    `uri="${o.uri}"`,
    `response="${response}"`,
    'algorithm=MD5',
  ];
  if (challenge.qop) parts.push('qop=auth', 'nc=00000001', `cnonce="${cnonce}"`);
  if (challenge.opaque) parts.push(`opaque="${challenge.opaque}"`);
  return `Digest ${parts.join(', ')}`;
}
