/** The digest hash that SIP needs is as good as a password: who has it can register. So it is kept sealed. */
import { createHash } from 'node:crypto';
import { decryptSecret, encryptSecret } from './sealing';

/** Whose login it is. The domain is its realm. */
export interface Login {
  username: string;
  domain: string;
}

/** The digest hash SIP needs (RFC 2617 HA1). `realm` is the domain's name. */
export function hashSipPassword(username: string, realm: string, password: string): string {
  return createHash('md5').update(`${username}:${realm}:${password}`).digest('hex');
}

/** Bound to the name and not to the row: else whoever can write a row could give a user the hash of a password they know. */
const what = ({ username, domain }: Login) => ({ purpose: 'digest' as const, of: `${username}@${domain}` });

export const sealDigest = (secretKey: Buffer, login: Login, ha1: string): string =>
  encryptSecret(secretKey, what(login), ha1);

const CLEAR = /^[0-9a-f]{32}$/;

/** True for one that version 0.2 has kept as it is. */
export const isClearDigest = (kept: string): boolean => CLEAR.test(kept);

/**
 * @param kept as it stands in the row; version 0.2 kept it in clear, and it stays so until it is sealed
 * @throws Error where it is another login's, or no secret that is known here has sealed it
 */
export const openDigest = (secretKey: Buffer, login: Login, kept: string): string =>
  isClearDigest(kept) ? kept : decryptSecret(secretKey, what(login), kept);
