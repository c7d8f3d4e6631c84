/** The socket side of HTTP: deadlines for those who never finish a request, and words for what never became one. */
import { createServer, type RequestListener, type Server } from 'node:http';
import { randomUUID } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { SwitchyardError } from '../errors';
import { problemOf, PROBLEM_TYPE, retryAfterOf } from './problem';

export interface ServerLimits {
  headersMs: number;
  requestMs: number;
  checkMs: number;
}

/** Nodes send recordings of gigabytes; whoever reads a body has a deadline of its own, and a far shorter one. */
const DEFAULT_LIMITS: ServerLimits = { headersMs: 10_000, requestMs: 960_000, checkMs: 1000 };

/** Serves an app. A client too slow for its headers or body gets 408, an unreadable one 400, both with a code. */
export function createHttpServer(app: RequestListener, limits: ServerLimits = DEFAULT_LIMITS): Server {
  const server = createServer(
    {
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      connectionsCheckingInterval: limits.checkMs,
      keepAliveTimeout: 65_000,
      maxHeaderSize: 16_384,
    },
    app,
  );
  server.maxRequestsPerSocket = 0;
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => refuseSocket(socket, nameClientError(error)));
  return server;
}

function nameClientError(error: NodeJS.ErrnoException): SwitchyardError {
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') return new SwitchyardError('request_timeout');
  if (error.code === 'HPE_HEADER_OVERFLOW')
    return new SwitchyardError('invalid_request', 'The request headers are too long.');
  return new SwitchyardError('invalid_request', 'This is not an HTTP request.');
}

/** Answers on a bare socket and ends it. */
export function refuseSocket(socket: Duplex, error: SwitchyardError): void {
  if (socket.destroyed || !socket.writable) {
    socket.destroy();
    return;
  }
  const requestId = randomUUID();
  const body = JSON.stringify(problemOf(error, requestId));
  const retryAfter = retryAfterOf(error);
  socket.end(
    [
      `HTTP/1.1 ${error.status} ${STATUS_WORDS[error.status] ?? 'Error'}`,
      `Content-Type: ${PROBLEM_TYPE}`,
      `Content-Length: ${Buffer.byteLength(body)}`,
      `X-Request-Id: ${requestId}`,
      ...(retryAfter === undefined ? [] : [`Retry-After: ${retryAfter}`]),
      'Connection: close',
      '',
      body,
    ].join('\r\n'),
  );
}

const STATUS_WORDS: Record<number, string> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  408: 'Request Timeout',
  429: 'Too Many Requests',
  503: 'Service Unavailable',
};
