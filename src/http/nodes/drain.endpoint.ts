/** The door by which a node drains itself before it is stopped: with its own password, and for itself only. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  drainItself,
  drainSchema,
  readOwnState,
  resumeItself,
  type OwnDrainDeps,
  type OwnState,
} from '../../domains/nodes/drain/own-drain';
import { findNodeByName } from '../../domains/nodes/nodes.store';
import { SwitchyardError } from '../../errors';
import { isUnreachable } from '../../infra/stores/db';
import { equalSecrets, hashSecret } from '../../infra/secrets';

const PATH = /^\/freeswitch\/(state|drain|resume)(?:\?.*)?$/;
const BODY_LIMIT_BYTES = 1000;
const BODY_TIMEOUT_MS = 5000;

/** @returns a handler that answers where the path is one of these three, and says so. */
export function createDrainEndpoint(
  deps: OwnDrainDeps,
): (request: IncomingMessage, response: ServerResponse) => boolean {
  return (request, response) => {
    const what = PATH.exec(request.url ?? '')?.[1];
    if (what === undefined) return false;
    answer(deps, what, request).then(
      (state) => send(request, response, 200, 'application/json', JSON.stringify(state)),
      (error: unknown) => refuse(deps, request, response, error),
    );
    return true;
  };
}

async function answer(deps: OwnDrainDeps, what: string, request: IncomingMessage): Promise<OwnState> {
  if (request.method !== (what === 'state' ? 'GET' : 'POST')) throw new SwitchyardError('method_not_allowed');
  const id = await requireNode(deps, request.headers.authorization); // before a byte of its body is read
  if (what === 'state') return readOwnState(deps, id);
  if (what === 'resume') return resumeItself(deps, id);
  return drainItself(deps, id, readOrder(await readBody(request)));
}

/** @throws unauthorized for a name that is none, and for a secret that is another's: which of them is not told */
async function requireNode(deps: OwnDrainDeps, header: string | undefined): Promise<string> {
  const text = header?.startsWith('Basic ') ? Buffer.from(header.slice(6), 'base64').toString('utf8') : '';
  const at = text.indexOf(':');
  const node = at > 0 ? await findNodeByName(deps.db, text.slice(0, at)) : undefined;
  const isIts = node && node.state !== 'pending' && equalSecrets(node.secret_hash, hashSecret(text.slice(at + 1)));
  if (!isIts) throw new SwitchyardError('unauthorized', 'That is no node of this pool.');
  return node.id;
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
  throw new SwitchyardError('invalid_request', '"deadlineSeconds" is a whole number from 0 to 86400.');
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  const timer = setTimeout(() => request.destroy(new SwitchyardError('request_timeout')), BODY_TIMEOUT_MS);
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > BODY_LIMIT_BYTES) throw new SwitchyardError('payload_too_large', 'The body is over 1 kB.');
      chunks.push(chunk);
    }
  } finally {
    clearTimeout(timer);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function send(request: IncomingMessage, response: ServerResponse, status: number, type: string, text: string): void {
  if (response.headersSent || response.destroyed) return;
  if (!request.complete) response.setHeader('connection', 'close');
  response.writeHead(status, { 'content-type': type }).end(`${text}\n`);
}

function refuse(deps: OwnDrainDeps, request: IncomingMessage, response: ServerResponse, error: unknown): void {
  const known = error instanceof SwitchyardError;
  const status = known ? error.status : isUnreachable(error) ? 503 : 500;
  if (status >= 500) deps.logger.error({ err: error }, 'a node could not drain itself');
  else deps.logger.warn({ fault: (error as Error).message, status }, 'a node was refused');
  if (status === 401 && !response.headersSent) response.setHeader('www-authenticate', 'Basic realm="nodes"');
  send(request, response, status, 'text/plain', known ? `${error.code}: ${error.message}` : 'unavailable');
}
