/** Lets pages of other origins read what a grant's token is for: their events, and where their room is now. */
import type { RequestHandler } from 'express';
import { isGrantToken, shownBearer } from './authentication';

/** How long a browser may remember a preflight's answer. */
const PREFLIGHT_SECONDS = 600;

/**
 * For the paths a grant may read. Any origin: nothing is sent by a browser on its own here (no cookies), so an origin
 * proves nothing, and whoever has the token may read. An API key's answers carry no such header: keys are no page's.
 */
export const allowGrantPages: RequestHandler = (request, response, next) => {
  if (request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined) {
    response.status(204).set({
      'Access-Control-Allow-Origin': '*',
      'Access-Control-Allow-Methods': 'GET',
      'Access-Control-Allow-Headers': 'Authorization, Last-Event-ID, Cache-Control',
      'Access-Control-Max-Age': String(PREFLIGHT_SECONDS),
    });
    response.end();
    return;
  }
  const bearer = shownBearer(request.headers.authorization, request.query.access_token);
  if (bearer !== undefined && isGrantToken(bearer)) {
    response.set({
      'Access-Control-Allow-Origin': '*',
      'Access-Control-Expose-Headers': 'X-Request-Id, Retry-After',
      'Cross-Origin-Resource-Policy': 'cross-origin',
    });
  }
  next();
};
