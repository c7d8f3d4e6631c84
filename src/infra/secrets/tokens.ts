/** Short proofs that we wrote something: who shows one need not be known otherwise. Each is good for one purpose only. */
import { createHmac } from 'node:crypto';
import { equalSecrets } from './hashes';
import { purposeKeys, type TokenPurpose } from './keys';

export type Claims = Record<string, string | number>;

const prove = (key: Buffer, body: string): string => createHmac('sha256', key).update(body).digest('base64url');

/** A proof that `claims` were written by us: "<base64url json>.<hmac>". */
export function signToken(secretKey: Buffer, purpose: TokenPurpose, claims: Claims): string {
  const body = Buffer.from(JSON.stringify(claims)).toString('base64url');
  return `${body}.${prove(purposeKeys(secretKey, `token/${purpose}`)[0].key, body)}`;
}

/** @returns the claims, or undefined where it is forged, made for another purpose, or past its `exp` (seconds since 1970). */
export function readToken(secretKey: Buffer, purpose: TokenPurpose, token: string, nowMs: number): Claims | undefined {
  const [body, mac] = token.split('.');
  if (!body || !mac) return undefined;
  const keys = purposeKeys(secretKey, `token/${purpose}`);
  if (!keys.some(({ key }) => equalSecrets(mac, prove(key, body)))) return undefined;
  try {
    const claims = JSON.parse(Buffer.from(body, 'base64url').toString('utf8')) as Claims;
    return typeof claims.exp === 'number' && claims.exp * 1000 > nowMs ? claims : undefined;
  } catch {
    return undefined;
  }
}
