/** The endpoint at which a node fetches a room's image; only the token in its URL opens it. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { SwitchyardError } from '../../errors';
import { admitImage, type ImageDeps } from '../../domains/rooms/images/images';
import { createLocalGuard, type CredentialGuard } from './credential-guard';
import { refuseNode, type NodeEndpoint } from './endpoint';
import { ID_PATTERN } from '../../infra/ids';

const PATH = new RegExp(`^/freeswitch/images/(${ID_PATTERN})(?:\\?(.*))?$`);

export function createImageEndpoint(given: ImageDeps & { guard?: CredentialGuard }): NodeEndpoint {
  const deps = { ...given, guard: given.guard ?? createLocalGuard() };
  return (request, response) => {
    const match = PATH.exec(request.url ?? '');
    if (!match) return false;
    const [, id = '', query = ''] = match;
    const refusal = { logger: deps.logger, message: 'a node got no image', about: { image: id } };
    answer(deps, request, response, id, query).catch((error: unknown) => refuseNode(refusal, request, response, error));
    return true;
  };
}

async function answer(
  deps: ImageDeps & { guard: CredentialGuard },
  request: IncomingMessage,
  response: ServerResponse,
  id: string,
  query: string,
): Promise<void> {
  if (request.method !== 'GET') throw new SwitchyardError('method_not_allowed');
  const token = new URLSearchParams(query).get('token') ?? undefined;
  const image = await deps.guard.prove(request, token ?? '', () => admitImage(deps, id, token));
  response
    .writeHead(200, { 'content-type': image.content_type, 'content-length': image.content.length })
    .end(image.content);
}
