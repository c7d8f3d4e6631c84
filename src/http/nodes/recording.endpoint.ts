/** The door for recordings: a node sends its file by PUT, or as a form by POST, and nothing of it is kept in memory. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { SwitchyardError } from '../../errors';
import { admitUpload, receiveUpload } from '../../domains/recordings/upload/receive-upload';
import type { RecordingDeps } from '../../domains/recordings/control/transition';
import { isNodeName, isSecretOf } from '../../domains/nodes/entering/admission';
import { findNodeByName } from '../../domains/nodes/nodes.store';
import { isUnreachable } from '../../infra/stores/db';
import { createLocalGuard, type CredentialGuard } from './credential-guard';
import { retryAfterOf } from '../problem';
import { ID_PATTERN } from '../../infra/ids';

const PATH = new RegExp(`^/freeswitch/recordings/(${ID_PATTERN})(?:\\?(.*))?$`);
/** A node that sends nothing for this long is gone; it tries again. */
const SILENCE_MS = 20_000;
/** What mod_curl puts around the file: a boundary, two or three header lines, and the boundary again. */
const FORM_EXTRA_BYTES = 4096;
const HEAD_END = '\r\n\r\n';

/** @returns a handler that answers where the path is that of a recording's part, and says so. */
export function createRecordingEndpoint(
  given: RecordingDeps & { guard?: CredentialGuard },
): (request: IncomingMessage, response: ServerResponse) => boolean {
  const deps = { ...given, guard: given.guard ?? createLocalGuard() };
  return (request, response) => {
    const match = PATH.exec(request.url ?? '');
    if (!match) return false;
    answer(deps, request, response, match[1]!, match[2]).catch((error: unknown) =>
      refuse(deps, request, response, error, match[1]!),
    );
    return true;
  };
}

async function answer(
  deps: RecordingDeps & { guard: CredentialGuard },
  request: IncomingMessage,
  response: ServerResponse,
  partId: string,
  query: string | undefined,
): Promise<void> {
  const { method } = request;
  if (method !== 'PUT' && method !== 'POST') throw new SwitchyardError('method_not_allowed');
  const token = new URLSearchParams(query ?? '').get('token') ?? undefined;
  const header = request.headers.authorization;
  const part = await deps.guard.prove(request, header ?? token ?? '', async () =>
    admitUpload(deps, { partId, token, nodeId: await findShownNode(deps, header) }),
  );
  if (part.state === 'stored') return finish(request, response, 200, 'known');
  const length = readLength(request);
  const bytes = Number(part.bytes);
  if (length > Math.min(deps.maxUploadBytes, bytes) + (method === 'POST' ? FORM_EXTRA_BYTES : 0)) {
    throw new SwitchyardError('payload_too_large', `The file has ${bytes} bytes.`);
  }
  if (method === 'PUT' && length !== bytes) {
    throw new SwitchyardError('unprocessable', `The file has ${bytes} bytes, and ${length} were announced.`);
  }
  request.setTimeout(SILENCE_MS, () => request.destroy(new Error('silence')));
  const body = method === 'PUT' ? request : readFormFile(request, bytes);
  finish(request, response, 200, await receiveUpload(deps, part, body as Readable));
}

/** The node whose own name and password are shown; undefined where none are. @throws unauthorized */
async function findShownNode(deps: RecordingDeps, header: string | undefined): Promise<string | undefined> {
  if (header === undefined) return undefined;
  const text = Buffer.from(header.replace(/^Basic /, ''), 'base64').toString('utf8');
  const at = text.indexOf(':');
  const name = text.slice(0, Math.max(0, at));
  const node = isNodeName(name) ? await findNodeByName(deps.db, name) : undefined;
  const isIts = node && node.state !== 'pending' && isSecretOf(node, text.slice(at + 1));
  if (!isIts) {
    throw new SwitchyardError('unauthorized', 'That is no node of this pool.');
  }
  return node.id;
}

function readLength(request: IncomingMessage): number {
  const length = Number(request.headers['content-length']);
  if (!Number.isSafeInteger(length) || length < 0) {
    throw new SwitchyardError('invalid_request', 'A file is sent with its Content-Length.');
  }
  return length;
}

/**
 * The file out of a form of one field (RFC 7578). Its length is known beforehand, so that no boundary has to be looked
 * for in it: after the field's headers come that many bytes.
 * @throws unprocessable where the field's headers do not end
 */
export async function* readFormFile(request: AsyncIterable<Buffer>, bytes: number): AsyncIterable<Buffer> {
  let head: Buffer | undefined = Buffer.alloc(0);
  let left = bytes;
  for await (const chunk of request) {
    let data = chunk;
    if (head) {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf(HEAD_END);
      // The same whether its end has come with this read or not.
      const isTooLong = end > FORM_EXTRA_BYTES || (end < 0 && head.length >= FORM_EXTRA_BYTES + HEAD_END.length);
      if (isTooLong) throw new SwitchyardError('unprocessable', 'That is no form.');
      if (end < 0) continue;
      data = head.subarray(end + HEAD_END.length);
      head = undefined;
    }
    if (left > 0 && data.length > 0) yield data.subarray(0, left);
    left = Math.max(0, left - data.length);
  }
}

function finish(request: IncomingMessage, response: ServerResponse, status: number, text: string): void {
  if (response.headersSent || response.destroyed) return;
  // A body nobody wants any more is not read: the connection ends with the answer.
  if (!request.complete) response.setHeader('connection', 'close');
  response.writeHead(status, { 'content-type': 'text/plain' }).end(`${text}\n`);
}

/** The address is never logged: the token stands in it. */
function refuse(
  deps: RecordingDeps,
  request: IncomingMessage,
  response: ServerResponse,
  error: unknown,
  partId: string,
): void {
  const known = error instanceof SwitchyardError;
  const status = known ? error.status : isUnreachable(error) ? 503 : 500;
  const cause = known ? error.cause : error;
  deps.logger[status >= 500 ? 'error' : 'warn']({ err: cause, part: partId, status }, 'a recording was not taken in');
  const retryAfter = retryAfterOf(error);
  if (retryAfter !== undefined && !response.headersSent) response.setHeader('retry-after', retryAfter);
  if (status === 401) response.setHeader('www-authenticate', 'Basic realm="nodes"');
  finish(request, response, status, known ? `${error.code}: ${error.message}` : 'unavailable');
}
