/** Every failure leaves as problem+json (RFC 9457) with a stable code, so that a program can act on it. */
import type { ErrorRequestHandler, Response } from 'express';
import { z } from 'zod';
import { ERROR_CODES, SwitchyardError, type ErrorCode } from '../errors';
import { nameDbFault } from '../infra/stores/db';
import type { Logger } from '../infra/logger';

export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8';

/** The schema of a problem, for the document. */
export const problemSchema = z
  .object({
    type: z.string().describe('Documentation of this kind of problem.'),
    title: z.string(),
    status: z.number().int(),
    code: z.enum(Object.keys(ERROR_CODES) as [ErrorCode, ...ErrorCode[]]).describe('Stable: use this in programs.'),
    detail: z.string().describe('What happened this time, in words.'),
    fix: z.string().describe('What you can do about it.'),
    requestId: z.string().describe("Also in the header X-Request-Id and in Switchyard's log."),
    errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
    quota: z.string().optional().describe('With `quota_exceeded`: which quota.'),
    limit: z.number().optional().describe("With `quota_exceeded`: the domain's limit."),
    used: z.number().optional().describe('With `quota_exceeded`: how much is used.'),
  })
  .meta({ id: 'Problem' });

export type Problem = z.output<typeof problemSchema>;

/** The problem an error is told as. A fault without a code is told as `internal`, and nothing of it is shown. */
export function problemOf(error: unknown, requestId: string): Problem {
  const known = error instanceof SwitchyardError ? error : new SwitchyardError('internal');
  const entry = ERROR_CODES[known.code];
  return {
    type: `/docs#error-${known.code}`,
    title: entry.title,
    status: entry.status,
    code: known.code,
    detail: known.message,
    fix: known.fix,
    requestId,
    ...(known.errors.length > 0 ? { errors: known.errors } : {}),
    ...known.quota,
  };
}

/** The header Retry-After, in whole seconds; undefined where nothing is known. */
export function retryAfterOf(error: unknown): string | undefined {
  const waitMs = error instanceof SwitchyardError ? error.retryAfterMs : undefined;
  return waitMs === undefined ? undefined : String(Math.max(1, Math.ceil(waitMs / 1000)));
}

/** The id of the request that `response` answers. */
export function requestIdOf(response: Response): string {
  return String(response.locals.requestId ?? '');
}

/** Express's last handler. Codes from 500 on are logged with their cause. */
export function problemHandler(logger: Logger): ErrorRequestHandler {
  return (error: unknown, request, response, _next) => {
    const named =
      (error as Error | undefined)?.name === 'URIError' ? new SwitchyardError('not_found') : nameDbFault(error);
    const requestId = requestIdOf(response);
    const problem = problemOf(named, requestId);
    if (problem.status === 500) logger.error({ requestId, err: error, path: request.path }, 'a request failed');
    else if (problem.status > 500) logger.warn({ requestId, code: problem.code, path: request.path }, problem.detail);
    if (response.headersSent) {
      response.destroy();
      return;
    }
    const retryAfter = retryAfterOf(named);
    if (retryAfter !== undefined) response.set('Retry-After', retryAfter);
    if (problem.code === 'unavailable' && !response.hasHeader('Retry-After')) response.set('Retry-After', '2');
    response.status(problem.status).set('Content-Type', PROBLEM_TYPE).send(JSON.stringify(problem));
  };
}
