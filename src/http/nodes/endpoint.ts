/** What every endpoint for nodes shares: credentials by HTTP Basic, bodies with a limit and a deadline, and one way to refuse. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { SwitchyardError } from '../../errors';
import { isUnreachable } from '../../infra/stores/db';
import type { Logger } from '../../infra/logger';
import { discard } from '../request/body';
import { retryAfterOf } from '../problem';

/** @returns whether the request was for this endpoint; it is answered then, now or later */
export type NodeEndpoint = (request: IncomingMessage, response: ServerResponse) => boolean;

export interface NodeCredentials {
  name: string;
  password: string;
}

/** Reads "Authorization: Basic …"; undefined if there is none that can be read. */
export function readCredentials(header: string | undefined): NodeCredentials | undefined {
  if (!header?.startsWith('Basic ')) return undefined;
  const text = Buffer.from(header.slice(6), 'base64').toString('utf8');
  const at = text.indexOf(':');
  return at < 0 ? undefined : { name: text.slice(0, at), password: text.slice(at + 1) };
}

const BODY_TIMEOUT_MS = 5000;

/**
 * Reads a node's request, which is small and comes at once. By callbacks, since a password's answer is often there when
 * the body is, and need not wait for promises.
 * @param fail gets payload_too_large, request_timeout, or what broke; neither is called again after that
 */
export function readBody(
  request: IncomingMessage,
  done: (body: string) => void,
  fail: (error: Error) => void,
  limitBytes: number,
): void {
  let first: Buffer | undefined;
  let rest: Buffer[] | undefined;
  let size = 0;
  const stop = (error: Error): void => {
    clearTimeout(timer);
    request.removeAllListeners('data');
    request.removeAllListeners('end');
    request.resume();
    fail(error);
  };
  const timer = setTimeout(() => stop(new SwitchyardError('request_timeout')), BODY_TIMEOUT_MS);
  request.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > limitBytes)
      stop(new SwitchyardError('payload_too_large', `The body must not exceed ${limitBytes} bytes.`));
    else if (!first) first = chunk;
    else (rest ??= [first]).push(chunk);
  });
  request.on('end', () => {
    clearTimeout(timer);
    done((rest ? Buffer.concat(rest) : (first ?? Buffer.alloc(0))).toString('utf8'));
  });
  request.on('error', stop);
}

/** The same as a promise, for requests that nobody waits for in a call. */
export const readWholeBody = (request: IncomingMessage, limitBytes: number): Promise<string> =>
  new Promise((resolve, reject) => readBody(request, resolve, reject, limitBytes));

/** One line of text, or a document of another type. A connection whose request is still being sent ends with the answer. */
export function answerNode(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  text: string,
  type = 'text/plain',
): void {
  if (response.headersSent || response.destroyed) return;
  if (!request.complete) response.setHeader('connection', 'close');
  response.writeHead(status, { 'content-type': type }).end(`${text}\n`);
}

export interface Refusal {
  logger: Logger;
  /** What the log says, as "a node was refused". The URL is never logged: it can hold a token. */
  message: string;
  /** What the log names besides: the part of a recording, an image. */
  about?: Readonly<Record<string, string>>;
}

/** Refuses in words for the operator of the node, and writes the same to the log. */
export function refuseNode(refusal: Refusal, request: IncomingMessage, response: ServerResponse, error: unknown): void {
  const known = error instanceof SwitchyardError;
  const status = known ? error.status : isUnreachable(error) ? 503 : 500;
  const { logger, message, about } = refusal;
  if (status >= 500) logger.error({ ...about, status, err: known ? (error.cause ?? error) : error }, message);
  else logger.warn({ ...about, status, fault: (error as Error).message }, message);
  if (response.headersSent || response.destroyed) return;
  if (status === 401) response.setHeader('www-authenticate', 'Basic realm="nodes"');
  const retryAfter = retryAfterOf(error);
  if (retryAfter !== undefined) response.setHeader('retry-after', retryAfter);
  if (!request.complete) discard(request); // so that it reads the answer; nothing of it is kept
  answerNode(request, response, status, known ? `${error.code}: ${error.message}` : 'unavailable');
}
