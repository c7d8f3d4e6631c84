/** Seals what must be read again: AES-256-GCM with a key of its purpose, bound to the one thing that it belongs to. */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { purposeKeys, secretNames, splitSecrets, type SealPurpose } from './keys';

/** What a sealed text is, and whose. Sealed for one thing it does not open as another's, whatever row it stands in. */
export interface Sealed {
  purpose: SealPurpose;
  /** The id of the row, or what it is known by. */
  of: string;
}

const IV_BYTES = 12;
const TAG_BYTES = 16;

const encode = (bytes: Buffer): string => bytes.toString('base64url');

/** The answer is "v2.<name of the secret>.<iv>.<tag>.<text>", each but the name in base64url. */
export function encryptSecret(secretKey: Buffer, what: Sealed, plain: string): string {
  const [{ id, key }] = purposeKeys(secretKey, `seal/${what.purpose}`);
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(what.of));
  const text = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()]);
  return ['v2', id, encode(iv), encode(cipher.getAuthTag()), encode(text)].join('.');
}

/** @throws Error where no secret that is known here has sealed it, it was changed, or it is another one's. */
export function decryptSecret(secretKey: Buffer, what: Sealed, sealed: string): string {
  const parts = sealed.split('.');
  if (parts[0] === 'v1' && parts.length === 4 && what.purpose !== 'digest') return openFirstForm(secretKey, parts);
  if (parts[0] !== 'v2' || parts.length !== 5) throw new Error('not a sealed text');
  const [, id, iv, tag, text] = parts as [string, string, string, string, string];
  const key = purposeKeys(secretKey, `seal/${what.purpose}`).find((one) => one.id === id)?.key;
  if (!key) throw new Error('it was sealed with an unknown SWITCHYARD_SECRET');
  return open(key, { iv, tag, text, of: what.of });
}

/** Of version 0.2: one key for all, bound to nothing. */
function openFirstForm(secretKey: Buffer, parts: string[]): string {
  const [, iv, tag, text] = parts as [string, string, string, string];
  for (const key of splitSecrets(secretKey)) {
    try {
      return open(key, { iv, tag, text });
    } catch {
      // another one's
    }
  }
  throw new Error('it was sealed with an unknown SWITCHYARD_SECRET, or was changed');
}

function open(key: Buffer, o: { iv: string; tag: string; text: string; of?: string }): string {
  const decipher = createDecipheriv('aes-256-gcm', key, Buffer.from(o.iv, 'base64url'), { authTagLength: TAG_BYTES });
  if (o.of !== undefined) decipher.setAAD(Buffer.from(o.of));
  decipher.setAuthTag(Buffer.from(o.tag, 'base64url'));
  return decipher.update(Buffer.from(o.text, 'base64url'), undefined, 'utf8') + decipher.final('utf8');
}

/** How every text begins that the secret of now has sealed. */
export const sealedPrefix = (secretKey: Buffer): string => `v2.${secretNames(secretKey)[0]}.`;
