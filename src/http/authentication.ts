/** Who asks: reads the bearer key, and slows down those who guess. */
import type { Request, Response } from 'express';
import { SwitchyardError } from '../errors';
import type { Caller, Scope } from '../infra/route';
import type { RateLimiter } from './rate-limit';

/** Finds the caller a key belongs to; undefined for a key that is unknown, revoked or expired. */
export type Authenticate = (bearer: string) => Promise<Caller | undefined>;

/** @returns the key of "Authorization: Bearer KEY", or undefined. */
export function bearerOf(header: string | undefined): string | undefined {
  return /^Bearer ([\x21-\x7e]{16,256})$/i.exec(header ?? '')?.[1];
}

/** @throws SwitchyardError rate_limited, after setting Retry-After */
export function spendToken(limiter: RateLimiter, key: string, response: Response): void {
  const waitMs = limiter.take(key);
  if (waitMs === 0) return;
  const seconds = Math.max(1, Math.ceil(waitMs / 1000));
  response.set('Retry-After', String(seconds));
  throw new SwitchyardError('rate_limited', `Try again in ${seconds} seconds.`);
}

/** @throws SwitchyardError unauthorized, forbidden, rate_limited */
export async function requireCaller(
  request: Request,
  response: Response,
  need: Scope,
  authenticate: Authenticate,
  limits: { keys: RateLimiter; strangers: RateLimiter },
): Promise<Caller> {
  const bearer = bearerOf(request.headers.authorization);
  const caller = bearer === undefined ? undefined : await authenticate(bearer);
  if (!caller) {
    spendToken(limits.strangers, request.socket.remoteAddress ?? '', response);
    response.set('WWW-Authenticate', 'Bearer realm="switchyard"');
    throw new SwitchyardError('unauthorized');
  }
  spendToken(limits.keys, caller.apiKeyId, response);
  if (!caller.scopes.includes('admin') && !caller.scopes.includes(need)) {
    throw new SwitchyardError('forbidden', `This needs a key with the scope "${need}".`);
  }
  return caller;
}
