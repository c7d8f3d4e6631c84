/** The endpoint at which a node's launcher enrols it before its FreeSWITCH starts: the only place that takes a token. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { parse as parseForm } from 'node:querystring';
import { SwitchyardError } from '../../errors';
import { enrolNode, type AdmissionDeps } from '../../domains/nodes/entering/admission';
import { readNodeAddress } from './node-address';
import { answerNode, readCredentials, readWholeBody, refuseNode, type NodeEndpoint } from './endpoint';
import { createLocalGuard, type CredentialGuard } from './credential-guard';

const PATH = /^\/freeswitch\/enrol(?:\?|$)/;
const BODY_LIMIT_BYTES = 4096;
const TOKEN_LENGTH = 256;

export interface EnrolEndpointDeps extends AdmissionDeps {
  /** Called when a node has just entered, so that it is connected to at once. */
  onNodeSeen: () => void;
  /** Limits wrong tokens; without it the endpoint has one of its own. */
  guard?: CredentialGuard;
}

/**
 * `POST /freeswitch/enrol?<as in the node's xml_curl address>`, with the node's name and secret by HTTP Basic and a form
 * with `token`: 204 when it is in, 202 while it waits for an admin's approval.
 */
export function createEnrolEndpoint(deps: EnrolEndpointDeps): NodeEndpoint {
  const guard = deps.guard ?? createLocalGuard();
  return (request, response) => {
    if (!PATH.test(request.url ?? '')) return false;
    answer(deps, guard, request, response).catch((error: unknown) =>
      refuseNode({ logger: deps.logger, message: 'a node was refused' }, request, response, error),
    );
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
  if (!credentials) throw new SwitchyardError('unauthorized', "Send the node's name and secret with HTTP Basic.");
  const body = await readWholeBody(request, BODY_LIMIT_BYTES);
  const { token } = parseForm(body);
  if (token !== undefined && (typeof token !== 'string' || token.length > TOKEN_LENGTH))
    throw new SwitchyardError('invalid_request', 'The form must have one field "token".');
  const { name, password: secret } = credentials;
  const address = readNodeAddress(request.url ?? '');
  const state = await guard.prove(request, `${name}:${secret} ${token ?? ''}`, (from) =>
    enrolNode(deps, { name, secret, token: token || undefined, address, from }),
  );
  if (state === 'in') {
    deps.onNodeSeen();
    return void response.writeHead(204).end();
  }
  const text = `pending: an admin approves the node with POST /v1/nodes/{id}/approve, or ./scripts/pool approve ${name}`;
  answerNode(request, response, 202, text);
}
