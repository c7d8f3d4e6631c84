/** The door by which a node's launcher enrols it before its FreeSWITCH starts: the only place where a token is shown. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { parse as parseForm } from 'node:querystring';
import { SwitchyardError } from '../../errors';
import { enrolNode, type AdmissionDeps } from '../../domains/nodes/entering/admission';
import { readNodeAddress } from './node-address';
import { readCredentials } from './admission';
import { readBody, refuseNode } from './freeswitch.endpoints';
import { createLocalGuard, type CredentialGuard } from './credential-guard';

const PATH = /^\/freeswitch\/enrol(?:\?|$)/;
const BODY_LIMIT_BYTES = 4096;
const TOKEN_LENGTH = 256;

export interface EnrolEndpointDeps extends AdmissionDeps {
  /** Told when a node has just entered, so that it is connected to at once. */
  onNodeSeen: () => void;
  /** Keeps those away who show wrong tokens; one of its own where it is left out. */
  guard?: CredentialGuard;
}

/**
 * `POST /freeswitch/enrol?<as in the node's xml_curl address>`, with the node's name and secret by HTTP Basic and a form
 * with `token`: 204 when it is in, 202 while an admin's yes is waited for.
 * @returns a handler that answers where the path is that door, and says so
 */
export function createEnrolEndpoint(
  deps: EnrolEndpointDeps,
): (request: IncomingMessage, response: ServerResponse) => boolean {
  const guard = deps.guard ?? createLocalGuard();
  return (request, response) => {
    if (!PATH.test(request.url ?? '')) return false;
    answer(deps, guard, request, response).catch((error: unknown) => refuseNode(deps, request, response, error));
    return true;
  };
}

async function answer(
  deps: EnrolEndpointDeps,
  guard: CredentialGuard,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (request.method !== 'POST') throw new SwitchyardError('method_not_allowed');
  const credentials = readCredentials(request.headers.authorization);
  if (!credentials)
    throw new SwitchyardError('unauthorized', 'Show the name and the secret of the node by HTTP Basic.');
  const body = await new Promise<string>((resolve, reject) => readBody(request, resolve, reject, BODY_LIMIT_BYTES));
  const { token } = parseForm(body);
  if (token !== undefined && (typeof token !== 'string' || token.length > TOKEN_LENGTH))
    throw new SwitchyardError('invalid_request', 'The form has one "token".');
  const { name, password: secret } = credentials;
  const address = readNodeAddress(request.url ?? '');
  const state = await guard.prove(request, `${name}:${secret} ${token ?? ''}`, (from) =>
    enrolNode(deps, { name, secret, token: token || undefined, address, from }),
  );
  if (state === 'in') {
    deps.onNodeSeen();
    return void response.writeHead(204).end();
  }
  const text = `pending: an admin lets the node in with POST /v1/nodes/{id}/approve, or ./scripts/pool approve ${name}\n`;
  response.writeHead(202, { 'content-type': 'text/plain' }).end(text);
}
