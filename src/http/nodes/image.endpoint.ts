/** The door through which a node fetches a room's picture; nothing but the token in the address opens it. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { SwitchyardError } from '../../errors';
import { admitPicture, type PictureDeps } from '../../domains/rooms/images/images';
import { isUnreachable } from '../../infra/stores/db';
import { createLocalGuard, type CredentialGuard } from './credential-guard';
import { retryAfterOf } from '../problem';
import { ID_PATTERN } from '../../infra/ids';

const PATH = new RegExp(`^/freeswitch/pictures/(${ID_PATTERN})(?:\\?(.*))?$`);

/** @returns a handler that answers where the path is that of a picture, and says so. */
export function createImageEndpoint(
  given: PictureDeps & { guard?: CredentialGuard },
): (request: IncomingMessage, response: ServerResponse) => boolean {
  const deps = { ...given, guard: given.guard ?? createLocalGuard() };
  return (request, response) => {
    const match = PATH.exec(request.url ?? '');
    if (!match) return false;
    const [, id = '', query = ''] = match;
    answer(deps, request, response, id, query).catch((error: unknown) => refuse(deps, request, response, error, id));
    return true;
  };
}

async function answer(
  deps: PictureDeps & { guard: CredentialGuard },
  request: IncomingMessage,
  response: ServerResponse,
  id: string,
  query: string,
): Promise<void> {
  if (request.method !== 'GET') throw new SwitchyardError('method_not_allowed');
  const token = new URLSearchParams(query).get('token') ?? undefined;
  const picture = await deps.guard.prove(request, token ?? '', () => admitPicture(deps, id, token));
  response
    .writeHead(200, { 'content-type': picture.content_type, 'content-length': picture.content.length })
    .end(picture.content);
}

/** The address is never logged: the token stands in it. */
function refuse(
  deps: PictureDeps,
  request: IncomingMessage,
  response: ServerResponse,
  error: unknown,
  id: string,
): void {
  if (response.headersSent || response.destroyed) return;
  const known = error instanceof SwitchyardError;
  const status = known ? error.status : isUnreachable(error) ? 503 : 500;
  const cause = known ? error.cause : error;
  deps.logger[status >= 500 ? 'error' : 'warn']({ err: cause, picture: id, status }, 'a picture was not given');
  if (!request.complete) response.setHeader('connection', 'close');
  const retryAfter = retryAfterOf(error);
  if (retryAfter !== undefined) response.setHeader('retry-after', retryAfter);
  const text = known ? `${error.code}: ${error.message}` : 'unavailable';
  response.writeHead(status, { 'content-type': 'text/plain' }).end(`${text}\n`);
}
