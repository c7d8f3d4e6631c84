/** Reads a request's JSON body under a size and a deadline, so that neither a huge nor a slow client holds us up. */
import type { IncomingMessage } from 'node:http';
import type { Request, Response } from 'express';
import { SwitchyardError } from '../../errors';
import type { RouteFile } from '../../infra/route';
import { isJsonType } from './content-type';

export interface BodyLimits {
  maxBytes: number;
  /** From the end of the headers to the end of the body. */
  deadlineMs: number;
}

const DISCARD_MS = 5000;

/**
 * @returns the parsed JSON object, or undefined where there was no body.
 * @throws SwitchyardError payload_too_large, request_timeout, unsupported_media_type, invalid_json
 */
export async function readJsonBody(request: Request, response: Response, limits: BodyLimits): Promise<unknown> {
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced === 0 && request.headers['transfer-encoding'] === undefined) return undefined;
  if (announced > limits.maxBytes) {
    discard(request);
    throw tooLarge(limits);
  }
  if (!isJson(request)) {
    discard(request);
    throw isCompressed(request) ? compressed(request) : new SwitchyardError('unsupported_media_type');
  }
  const bytes = await collect(request, response, limits);
  return bytes.length === 0 ? undefined : parseObject(bytes);
}

/**
 * Reads a body that is a file, under the same deadline.
 * @param o the types that are taken, and the most bytes
 * @throws SwitchyardError payload_too_large, request_timeout, unsupported_media_type, invalid_request where there is none
 */
export async function readFileBody(
  request: Request,
  response: Response,
  o: { types: readonly string[]; maxBytes: number; deadlineMs: number },
): Promise<RouteFile> {
  if (Number(request.headers['content-length'] ?? 0) > o.maxBytes) {
    discard(request);
    throw tooLarge(o);
  }
  const type = (request.headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase();
  if (!o.types.includes(type) || isCompressed(request)) {
    discard(request);
    const types = o.types.join(' or ');
    throw isCompressed(request)
      ? compressed(request)
      : new SwitchyardError('unsupported_media_type', `Content-Type must be ${types}.`, {
          fix: `Send "Content-Type: ${types}".`,
        });
  }
  const bytes = await collect(request, response, o);
  if (bytes.length === 0) throw new SwitchyardError('invalid_request', 'The request body is empty.');
  return { type, bytes };
}

const encodingOf = (request: Request): string => request.headers['content-encoding'] ?? 'identity';
const isCompressed = (request: Request): boolean => encodingOf(request) !== 'identity';

const compressed = (request: Request): SwitchyardError =>
  new SwitchyardError(
    'unsupported_media_type',
    `Content-Encoding "${encodingOf(request).slice(0, 64)}" is not supported.`,
    { fix: 'Send the body without Content-Encoding.' },
  );

const isJson = (request: Request): boolean =>
  !isCompressed(request) && isJsonType(request.headers['content-type'] ?? '');

function tooLarge(limits: BodyLimits): SwitchyardError {
  return new SwitchyardError('payload_too_large', `The body must not exceed ${limits.maxBytes} bytes.`);
}

/** Lets the client finish sending, so that it reads our answer, but not for ever. Nothing of it is kept. */
export function discard(request: IncomingMessage): void {
  request.removeAllListeners('data');
  request.resume();
  const { socket } = request;
  const timer = setTimeout(() => request.destroy(), DISCARD_MS);
  const done = () => {
    clearTimeout(timer);
    socket.off('close', done);
  };
  // Once it is answered, node:http no longer tells a request that its connection is gone: the socket does.
  request.once('end', done).once('close', done);
  socket.once('close', done);
}

function collect(request: Request, response: Response, limits: BodyLimits): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const fail = (error: Error) => {
      clearTimeout(timer);
      reject(error);
    };
    const timer = setTimeout(() => {
      response.set('Connection', 'close');
      request.removeAllListeners('data');
      fail(
        new SwitchyardError('request_timeout', `The body did not arrive within ${limits.deadlineMs / 1000} seconds.`),
      );
    }, limits.deadlineMs);
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > limits.maxBytes) {
        discard(request);
        fail(tooLarge(limits));
      } else chunks.push(chunk);
    });
    request.once('end', () => {
      clearTimeout(timer);
      resolve(Buffer.concat(chunks));
    });
    request.once('error', fail);
    request.once('close', () =>
      fail(new SwitchyardError('request_timeout', 'The connection ended before the end of the body.')),
    );
  });
}

function parseObject(bytes: Buffer): unknown {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw new SwitchyardError('invalid_json');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new SwitchyardError('invalid_json', 'The body must be a single JSON object.');
  }
  return value;
}
