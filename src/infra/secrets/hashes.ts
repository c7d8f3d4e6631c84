/** What need not be read again is kept as a hash; and how secrets are made and compared. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

/** For secrets that are long and random already (API keys, node secrets): a slow hash would only slow us. */
export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

export function createSecret(bytes = 24): string {
  return randomBytes(bytes).toString('base64url');
}

/** Compares without telling by its time how much was right. */
export function equalSecrets(a: string, b: string): boolean {
  return timingSafeEqual(createHash('sha256').update(a).digest(), createHash('sha256').update(b).digest());
}
