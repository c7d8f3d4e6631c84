/** One secret of the operator's, and from it a key for each purpose: what is made for one opens nothing of another. */
import { hkdfSync } from 'node:crypto';

const SECRET_BYTES = 32;
const KEY_BYTES = 32;
const ID_BYTES = 6;

/** What is kept sealed. */
export type SealPurpose = 'digest' | 'node-password' | 'room-pin' | 'moderator-pin' | 'stream-key' | 'kept-answer';

/** What a token proves. */
export type TokenPurpose = 'call' | 'room' | 'canary' | 'recording' | 'image' | 'adoption' | 'room-adoption';

export type Purpose = `seal/${SealPurpose}` | `token/${TokenPurpose}` | 'repeated-request';

export interface PurposeKey {
  /** Says which secret it came from, and nothing of it. */
  id: string;
  key: Buffer;
}

/**
 * Everything that takes a `secretKey` takes this: the secret of now (32 bytes), and behind it those that are still read,
 * 32 bytes each.
 * @throws Error where it is of another length
 */
export function splitSecrets(secretKey: Buffer): Buffer[] {
  if (secretKey.length === 0 || secretKey.length % SECRET_BYTES !== 0) {
    throw new Error(`A secret has ${SECRET_BYTES} bytes.`);
  }
  const secrets: Buffer[] = [];
  for (let at = 0; at < secretKey.length; at += SECRET_BYTES) {
    const secret = secretKey.subarray(at, at + SECRET_BYTES);
    if (!secrets.some((one) => one.equals(secret))) secrets.push(secret);
  }
  return secrets;
}

function derive(secret: Buffer, info: string, bytes: number): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, Buffer.alloc(0), `switchyard/${info}`, bytes));
}

/** What stands in a sealed text and in the database for a secret. */
const nameSecret = (secret: Buffer): string => derive(secret, 'id', ID_BYTES).toString('hex');

/** What was derived once; it follows from the secret alone. */
const derived = new WeakMap<Buffer, Map<Purpose, readonly PurposeKey[]>>();

/** The keys for one purpose: with the first one writes, with all one reads. */
export function purposeKeys(secretKey: Buffer, purpose: Purpose): readonly [PurposeKey, ...PurposeKey[]] {
  let known = derived.get(secretKey);
  if (!known) derived.set(secretKey, (known = new Map()));
  let keys = known.get(purpose);
  if (!keys) {
    keys = splitSecrets(secretKey).map((secret) => ({
      id: nameSecret(secret),
      key: derive(secret, purpose, KEY_BYTES),
    }));
    known.set(purpose, keys);
  }
  return keys as readonly [PurposeKey, ...PurposeKey[]];
}

/** The names of the secret of now and of the others that are read. */
export function secretNames(secretKey: Buffer): [current: string, ...others: string[]] {
  return splitSecrets(secretKey).map(nameSecret) as [string, ...string[]];
}
