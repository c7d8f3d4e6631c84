/** The endpoint at which a node drains itself before it is stopped: with its own secret, and for itself only. */
import type { IncomingMessage } from 'node:http';
import {
  drainItself,
  drainSchema,
  readOwnState,
  resumeItself,
  type OwnDrainDeps,
  type OwnState,
} from '../../domains/nodes/drain/own-drain';
import { SwitchyardError } from '../../errors';
import { requireOwnNode } from './admission';
import { answerNode, readWholeBody, refuseNode, type NodeEndpoint } from './endpoint';

const PATH = /^\/freeswitch\/(state|drain|resume)(?:\?.*)?$/;
const BODY_LIMIT_BYTES = 1000;

export function createDrainEndpoint(deps: OwnDrainDeps): NodeEndpoint {
  return (request, response) => {
    const what = PATH.exec(request.url ?? '')?.[1];
    if (what === undefined) return false;
    answer(deps, what, request).then(
      (state) => answerNode(request, response, 200, JSON.stringify(state), 'application/json'),
      (error: unknown) => refuseNode({ logger: deps.logger, message: 'a node was refused' }, request, response, error),
    );
    return true;
  };
}

async function answer(deps: OwnDrainDeps, what: string, request: IncomingMessage): Promise<OwnState> {
  if (request.method !== (what === 'state' ? 'GET' : 'POST')) throw new SwitchyardError('method_not_allowed');
  const { id } = await requireOwnNode(deps.db, request.headers.authorization); // before a byte of its body is read
  if (what === 'state') return readOwnState(deps, id);
  if (what === 'resume') return resumeItself(deps, id);
  return drainItself(deps, id, readOrder(await readWholeBody(request, BODY_LIMIT_BYTES)));
}

function readOrder(body: string): { deadlineSeconds: number } {
  let order: unknown;
  try {
    order = JSON.parse(body);
  } catch {
    throw new SwitchyardError('invalid_json');
  }
  const parsed = drainSchema.safeParse(order);
  if (parsed.success) return parsed.data;
  throw new SwitchyardError('invalid_request', '"deadlineSeconds" must be a whole number from 0 to 86400.');
}
