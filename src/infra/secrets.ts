/** Everything that hides or proves something: hashes of what need not be read again, encryption of what must be. */
import { createCipheriv, createDecipheriv, createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/** The digest hash SIP needs (RFC 2617 HA1). `realm` is the domain's name. */
export function hashSipPassword(username: string, realm: string, password: string): string {
  return createHash('md5').update(`${username}:${realm}:${password}`).digest('hex');
}

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

/** AES-256-GCM; the answer is "v1.<iv>.<tag>.<text>" in base64url. */
export function encryptSecret(key: Buffer, plain: string): string {
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, iv);
  const text = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()]);
  return ['v1', iv.toString('base64url'), cipher.getAuthTag().toString('base64url'), text.toString('base64url')].join(
    '.',
  );
}

/** @throws Error where the key is another one, or the text was changed. */
export function decryptSecret(key: Buffer, sealed: string): string {
  const [version, iv, tag, text] = sealed.split('.');
  if (version !== 'v1' || !iv || !tag || text === undefined) throw new Error('not a sealed secret');
  const decipher = createDecipheriv('aes-256-gcm', key, Buffer.from(iv, 'base64url'));
  decipher.setAuthTag(Buffer.from(tag, 'base64url'));
  return Buffer.concat([decipher.update(Buffer.from(text, 'base64url')), decipher.final()]).toString('utf8');
}

/** A short proof that `claims` were written by us: "<base64url json>.<hmac>". */
export function signToken(key: Buffer, claims: Record<string, string | number>): string {
  const body = Buffer.from(JSON.stringify(claims)).toString('base64url');
  return `${body}.${createHmac('sha256', key).update(body).digest('base64url')}`;
}

/** @returns the claims, or undefined where the token is forged or past its `exp` (seconds since 1970). */
export function readToken(key: Buffer, token: string, nowMs: number): Record<string, string | number> | undefined {
  const [body, mac] = token.split('.');
  if (!body || !mac) return undefined;
  if (!equalSecrets(mac, createHmac('sha256', key).update(body).digest('base64url'))) return undefined;
  try {
    const claims = JSON.parse(Buffer.from(body, 'base64url').toString('utf8')) as Record<string, string | number>;
    return typeof claims.exp === 'number' && claims.exp * 1000 > nowMs ? claims : undefined;
  } catch {
    return undefined;
  }
}
