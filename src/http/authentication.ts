/** Who asks: reads the bearer key, and slows down those who guess. */
import type { Request, Response } from 'express';
import { SwitchyardError } from '../errors';
import { isScopeEnough, type Caller, type Scope } from '../infra/route';
import type { RateLimiter } from './rate-limit';

/** Finds the caller a key or a grant's token belongs to; undefined where it is unknown, revoked or expired. */
export type Authenticate = (bearer: string) => Promise<Caller | undefined>;

/** Knows the addresses that show keys nobody has, over all replicas. */
export interface Strangers {
  /** @returns how long the address has to wait; 0 where it need not */
  waitMs(address: string | undefined): number;
  recordFailure(o: { kind: 'api'; address: string | undefined }): void;
  recordSuccess(address: string | undefined, callerId: string): void;
}

/** @returns the key of "Authorization: Bearer KEY", or undefined. */
export function bearerOf(header: string | undefined): string | undefined {
  return /^Bearer ([\x21-\x7e]{16,256})$/i.exec(header ?? '')?.[1];
}

/** How the token of a grant begins. */
const GRANT_TOKEN = /^gt_[\x21-\x7e]{16,256}$/;

export const isGrantToken = (text: string): boolean => GRANT_TOKEN.test(text);

/**
 * What was shown. EventSource and a browser's WebSocket can't send headers, so a grant's token may also stand in the
 * query as `access_token`; an API key may not, since queries are kept in logs and histories everywhere.
 */
export function shownBearer(authorization: string | undefined, accessToken: unknown): string | undefined {
  const bearer = bearerOf(authorization);
  if (bearer !== undefined) return bearer;
  return typeof accessToken === 'string' && isGrantToken(accessToken) ? accessToken : undefined;
}

/** @throws SwitchyardError rate_limited, after setting Retry-After */
export function spendToken(limiter: RateLimiter, key: string, response: Response): void {
  mustWait(limiter.take(key), response);
}

function mustWait(waitMs: number, response: Response): void {
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
  strangers?: Strangers,
): Promise<{ caller: Caller; bearer: string }> {
  mustWait(strangers?.waitMs(request.ip) ?? 0, response); // before anything is looked up
  const bearer = shownBearer(request.headers.authorization, need === 'grant' ? request.query.access_token : undefined);
  const caller = bearer === undefined ? undefined : await authenticate(bearer);
  if (!caller || bearer === undefined) {
    if (bearer !== undefined) strangers?.recordFailure({ kind: 'api', address: request.ip });
    spendToken(limits.strangers, request.ip ?? '', response);
    response.set('WWW-Authenticate', 'Bearer realm="switchyard"');
    throw new SwitchyardError('unauthorized');
  }
  strangers?.recordSuccess(request.ip, caller.apiKeyId);
  spendToken(limits.keys, caller.apiKeyId, response);
  if (!isScopeEnough(caller.scopes, need)) {
    throw new SwitchyardError('forbidden', `This needs a key with the scope "${need}".`);
  }
  return { caller, bearer };
}
