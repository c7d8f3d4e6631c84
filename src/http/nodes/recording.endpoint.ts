/** The endpoint for recordings: a node uploads its file by PUT, or as a form by POST, and nothing of it is kept in memory. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { SwitchyardError } from '../../errors';
import { admitUpload, receiveUpload } from '../../domains/recordings/upload/receive-upload';
import type { RecordingDeps } from '../../domains/recordings/control/transition';
import { createLocalGuard, type CredentialGuard } from './credential-guard';
import { requireOwnNode } from './admission';
import { answerNode, refuseNode, type NodeEndpoint } from './endpoint';
import { ID_PATTERN } from '../../infra/ids';

const PATH = new RegExp(`^/freeswitch/recordings/(${ID_PATTERN})(?:\\?(.*))?$`);
/** A node that sends nothing for this long is gone; it tries again. */
const SILENCE_MS = 20_000;
/** What mod_curl puts around the file: a boundary, two or three header lines, and the boundary again. */
const FORM_EXTRA_BYTES = 4096;
const HEAD_END = '\r\n\r\n';

export function createRecordingEndpoint(given: RecordingDeps & { guard?: CredentialGuard }): NodeEndpoint {
  const deps = { ...given, guard: given.guard ?? createLocalGuard() };
  return (request, response) => {
    const match = PATH.exec(request.url ?? '');
    if (!match) return false;
    const refusal = { logger: deps.logger, message: 'a recording was not accepted', about: { part: match[1]! } };
    answer(deps, request, response, match[1]!, match[2]).catch((error: unknown) =>
      refuseNode(refusal, request, response, error),
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
    admitUpload(deps, {
      partId,
      token,
      nodeId: header === undefined ? undefined : (await requireOwnNode(deps.db, header)).id,
    }),
  );
  if (part.state === 'stored') return answerNode(request, response, 200, 'known');
  const length = readLength(request);
  const bytes = Number(part.bytes);
  if (length > Math.min(deps.maxUploadBytes, bytes) + (method === 'POST' ? FORM_EXTRA_BYTES : 0)) {
    throw new SwitchyardError('payload_too_large', `The file must not exceed ${bytes} bytes.`);
  }
  if (method === 'PUT' && length !== bytes) {
    throw new SwitchyardError('unprocessable', `The file must have ${bytes} bytes, but Content-Length is ${length}.`);
  }
  request.setTimeout(SILENCE_MS, () => request.destroy(new Error('silence')));
  const body = method === 'PUT' ? request : readFormFile(request, bytes);
  answerNode(request, response, 200, await receiveUpload(deps, part, body as Readable));
}

function readLength(request: IncomingMessage): number {
  const length = Number(request.headers['content-length']);
  if (!Number.isSafeInteger(length) || length < 0) {
    throw new SwitchyardError('invalid_request', 'An upload needs a Content-Length.');
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
      if (isTooLong) throw new SwitchyardError('unprocessable', 'The multipart form is not valid.');
      if (end < 0) continue;
      data = head.subarray(end + HEAD_END.length);
      head = undefined;
    }
    if (left > 0 && data.length > 0) yield data.subarray(0, left);
    left = Math.max(0, left - data.length);
  }
}
