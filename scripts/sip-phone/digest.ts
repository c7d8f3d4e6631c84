/** Proves a password over SIP by digest (RFC 2617, MD5), also in the ways in which honest phones do not. */
import { createHash, randomBytes } from 'node:crypto';
import { headerOf, statusOf, type SipMessage } from './message';

export interface Challenge {
  realm: string;
  nonce: string;
  qop: boolean;
  opaque?: string;
}

/** What is proved; `realm`, `nonce` and `ha1` take the place of what the challenge and the password would give. */
export interface Proof {
  method: string;
  uri: string;
  username: string;
  password?: string;
  ha1?: string;
  realm?: string;
  nonce?: string;
  cnonce?: string;
  /** The older digest, by which one nonce serves for many tries. */
  withoutQop?: boolean;
}

const md5 = (text: string): string => createHash('md5').update(text).digest('hex');

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

/** The Authorization header's value. */
export function answerChallenge(challenge: Challenge, o: Proof): string {
  const realm = o.realm ?? challenge.realm;
  const nonce = o.nonce ?? challenge.nonce;
  const withQop = challenge.qop && o.withoutQop !== true;
  const ha1 = o.ha1 ?? md5(`${o.username}:${realm}:${o.password ?? ''}`);
  const ha2 = md5(`${o.method}:${o.uri}`);
  const cnonce = o.cnonce ?? randomBytes(8).toString('hex');
  const response = md5(withQop ? `${ha1}:${nonce}:00000001:${cnonce}:auth:${ha2}` : `${ha1}:${nonce}:${ha2}`);
  const parts = [
    `username="${o.username}"`,
    `realm="${realm}"`,
    `nonce="${nonce}"`,
    `uri="${o.uri}"`,
    `response="${response}"`,
    'algorithm=MD5',
  ];
  if (withQop) parts.push('qop=auth', 'nc=00000001', `cnonce="${cnonce}"`);
  if (challenge.opaque) parts.push(`opaque="${challenge.opaque}"`);
  return `Digest ${parts.join(', ')}`;
}

/** The header that answers a 401 or 407; undefined where the answer is no challenge. */
export function proofHeader(answer: SipMessage, o: Proof): string | undefined {
  const status = statusOf(answer);
  if (status !== 401 && status !== 407) return undefined;
  const challenge = headerOf(answer, status === 401 ? 'www-authenticate' : 'proxy-authenticate');
  if (challenge === undefined) return undefined;
  const name = status === 401 ? 'Authorization' : 'Proxy-Authorization';
  return `${name}: ${answerChallenge(parseChallenge(challenge), o)}`;
}
