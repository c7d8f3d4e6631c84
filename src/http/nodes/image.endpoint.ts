/** The endpoint at which a node fetches a room's image; only the token in its URL opens it. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { SwitchyardError } from '../../errors';
import { admitPicture, type PictureDeps } from '../../domains/rooms/images/images';
import { createLocalGuard, type CredentialGuard } from './credential-guard';
import { refuseNode, type NodeEndpoint } from './endpoint';
import { ID_PATTERN } from '../../infra/ids';

const PATH = new RegExp(`^/freeswitch/pictures/(${ID_PATTERN})(?:\\?(.*))?$`);

export function createImageEndpoint(given: PictureDeps & { guard?: CredentialGuard }): NodeEndpoint {
  const deps = { ...given, guard: given.guard ?? createLocalGuard() };
  return (request, response) => {
    const match = PATH.exec(request.url ?? '');
    if (!match) return false;
    const [, id = '', query = ''] = match;
    const refusal = { logger: deps.logger, message: 'a node got no image', about: { picture: id } };
    answer(deps, request, response, id, query).catch((error: unknown) => refuseNode(refusal, request, response, error));
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
