/** What a node asks while it runs: xml_curl's questions and call records. Plain node:http, since every phone waits on them. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { parse as parseForm } from 'node:querystring';
import {
  notFoundXml,
  parseXmlRequest,
  refusePlan,
  userXml,
  withoutFalseIds,
  type ConfigurationRequest,
  type UserRequest,
  type XmlRequest,
} from '../../freeswitch/xml';
import { readAddress } from '../../address';
import type { Gate, LoginGuard } from '../../domains/bans/logins';
import { handleCdr } from '../../domains/calls/records/cdr';
import { answerDialplan } from '../../domains/calls/dialplan/dialplan';
import { findContactsForCall, type DialplanDeps } from '../../domains/calls/dialplan/contacts';
import { expiresSecondsAt } from '../../domains/nodes/drain/phones';
import { answerConfiguration, type NodeConfigurationDeps } from '../../domains/nodes/node-configuration';
import type { NodeRow } from '../../domains/nodes/nodes.store';
import type { Directory, DirectoryUser } from '../../domains/users/directory';
import { judgeLogin, LOGIN_REFUSALS } from '../../domains/users/login-rule';
import { createAdmission, type AdmissionDeps } from './admission';
import { createLocalGuard, type CredentialGuard } from './credential-guard';
import { readBody, readCredentials, readWholeBody, refuseNode, type NodeEndpoint } from './endpoint';
import { readNodeForm } from './form';
import { readNodeBase, readNodeDoors } from './node-address';

export interface EndpointDeps
  extends DialplanDeps, Pick<AdmissionDeps, 'joinToken' | 'approval' | 'rules'>, NodeConfigurationDeps {
  /** Its scheme is the one by which nodes come to its host, if their proxy does not name it. */
  publicUrl?: string;
  /** Called with the kind of each question that is answered. */
  countXmlAnswer?: (kind: string) => void;
  /** Whose passwords are checked: users and grants (createLogins); without it users only. */
  logins?: Pick<Directory, 'findUser' | 'readFresh'>;
  /** Refuses logins of those who guess; without it nobody's. */
  loginGuard?: LoginGuard;
  /** Called with each login that was proved at a node. */
  noteLogin?: (nodeId: string, username: string, domain: string) => void;
  /** Called with each user whose digest a node was given. */
  noteUserGiven?: (node: NodeRow, username: string, domain: string) => void;
  /** Limits wrong credentials; without it the endpoint has one of its own. */
  guard?: CredentialGuard;
}

type FullDeps = EndpointDeps & Required<Pick<EndpointDeps, 'logins' | 'guard'>>;

/** A dialplan question of a video call has about 160 fields and 20 kB; a CDR of it up to 100 kB. */
const BODY_LIMIT_BYTES = 1_000_000;

export function createFreeswitchEndpoints(given: EndpointDeps): NodeEndpoint {
  const deps = { ...given, logins: given.logins ?? given.directory, guard: given.guard ?? createLocalGuard() };
  const { admit } = createAdmission(deps);
  return (request, response) => {
    // Exactly: a proxy that publishes /v1 passes on "/freeswitch/xml/../../v1/x" as it stands.
    const [path] = (request.url ?? '').split('?', 1);
    if (path !== '/freeswitch/xml' && path !== '/freeswitch/cdr') return false;
    const fail = (error: unknown): void =>
      refuseNode({ logger: deps.logger, message: 'a node was refused' }, request, response, error);
    if (path === '/freeswitch/cdr') {
      answerCdr(deps, admit(request, 'cdr'), request, response).catch(fail);
      return true;
    }
    const node = admit(request, 'xml');
    // A node that was admitted just now and a user looked up just now are answered in the turn the question comes in.
    if (node instanceof Promise) node.then((found) => answerXml(deps, found, request, response, fail)).catch(fail);
    else answerXml(deps, node, request, response, fail);
    return true;
  };
}

function answerXml(
  deps: FullDeps,
  node: NodeRow,
  request: IncomingMessage,
  response: ServerResponse,
  fail: (error: unknown) => void,
): void {
  const read = (body: string): void => {
    try {
      const question = withoutFalseIds(parseXmlRequest(readNodeForm(body)));
      const known = answerFromMemory(deps, node, question);
      if (known !== undefined) return send(response, known);
      answerQuestion(deps, node, question, request)
        .then((xml) => {
          deps.countXmlAnswer?.(question.kind);
          send(response, xml);
        })
        .catch(fail);
    } catch (error) {
      fail(error);
    }
  };
  readBody(request, read, fail, BODY_LIMIT_BYTES);
}

/** @returns undefined if the question needs the database */
function answerFromMemory(deps: FullDeps, node: NodeRow, question: XmlRequest): string | undefined {
  if (question.kind !== 'user' || question.purpose === 'user_call') return undefined;
  const gate = gateOf(deps, question);
  if (gate === 'shut') return refuseLogin(deps, node, question);
  const user = deps.logins.readFresh(question.username, question.domain);
  if (user === undefined || gate !== 'open') return undefined;
  deps.countXmlAnswer?.('user_cached');
  // Its gate is open: it is answered, whatever is counted.
  if (question.purpose === 'sip_auth') void deps.loginGuard?.take(question, user ?? undefined, gate, node.name);
  return answerUser(deps, node, question, user ?? undefined);
}

function send(response: ServerResponse, xml: string): void {
  if (response.headersSent) return; // it was refused while it was sent
  response.writeHead(200, { 'content-type': 'text/xml', 'content-length': Buffer.byteLength(xml) });
  response.end(xml);
}

const gateOf = (deps: FullDeps, question: UserRequest): Gate =>
  question.purpose === 'sip_auth' ? (deps.loginGuard?.check(question) ?? 'open') : 'open';

/** A node then tells the phone 403, as for a wrong password. */
function refuseLogin(deps: FullDeps, node: NodeRow, question: UserRequest): string {
  deps.countXmlAnswer?.('user_banned');
  deps.logger.debug({ node: node.name, from: question.networkIp }, 'a login was refused for those before it');
  return notFoundXml();
}

function answerUser(
  deps: FullDeps,
  node: NodeRow,
  question: UserRequest,
  user: DirectoryUser | undefined,
  dialString?: string,
): string {
  const refusal = judgeLogin(question, user);
  if (user && user.ha1 !== null && !refusal) {
    deps.noteUserGiven?.(node, user.username, user.domain);
    const isProved = question.purpose === 'sip_auth';
    if (isProved) deps.noteLogin?.(node.id, question.username, question.domain);
    // The digest goes to a login that has shown its proof, and to nothing else.
    const expiresSeconds = isProved ? expiresSecondsAt(node) : undefined;
    return userXml({ ...user, ha1: isProved ? user.ha1 : undefined, dialString, expiresSeconds });
  }
  const why = LOGIN_REFUSALS[refusal ?? 'no_such_user'];
  const who = { username: question.username.slice(0, 64), domain: question.domain.slice(0, 253) };
  deps.logger.info({ ...who, node: node.name, from: question.networkIp, why }, 'a user was refused');
  return notFoundXml();
}

async function answerQuestion(
  deps: FullDeps,
  node: NodeRow,
  question: XmlRequest,
  request: IncomingMessage,
): Promise<string> {
  switch (question.kind) {
    case 'user': {
      // Only a user is called: a grant's phones are reached by its user's name.
      const directory = question.purpose === 'user_call' ? deps.directory : deps.logins;
      const gate = gateOf(deps, question);
      if (gate === 'shut') return refuseLogin(deps, node, question);
      const user = await directory.findUser(question.username, question.domain);
      const mayGoOn = question.purpose !== 'sip_auth' || (await deps.loginGuard?.take(question, user, gate, node.name));
      if (mayGoOn === false) return refuseLogin(deps, node, question);
      const isRinging = user?.enabled && question.purpose === 'user_call';
      const dialString = isRinging ? await findContactsForCall(deps, node, question, user) : undefined;
      return answerUser(deps, node, question, user, dialString);
    }
    case 'dialplan':
      return answerDialplan(deps, node, question);
    case 'configuration':
      return (await configure(deps, node, question, request)) ?? notFoundXml();
    default:
      return question.kind === 'unknown' && question.section === 'dialplan'
        ? refuseChannel(deps, node, question.context)
        : notFoundXml();
  }
}

/** A channel that does not say which it is, or where it wants to go, must not be left to what else it might find. */
function refuseChannel(deps: FullDeps, node: NodeRow, context: string | undefined): string {
  deps.logger.warn(
    { node: node.name, context: context?.slice(0, 64) },
    'a dialplan question names no channel, or no destination',
  );
  return refusePlan({ context, sipStatus: 404, reason: 'Not a channel, or not a destination' });
}

function configure(
  deps: FullDeps,
  node: NodeRow,
  question: ConfigurationRequest,
  request: IncomingMessage,
): Promise<string | undefined> {
  const { name, password } = readCredentials(request.headers.authorization)!;
  const asking = {
    node,
    doors: readNodeDoors(request.url ?? ''),
    cdrUrl: `${readNodeBase(request.headers, deps.publicUrl)}/freeswitch/cdr`,
    cdrCredentials: `${name}:${password}`,
    localHost: readAddress(request.socket.localAddress ?? ''),
  };
  return answerConfiguration(deps, asking, question);
}

/** Takes JSON itself, or the form that mod_json_cdr sends with `encode` (a field `cdr`). */
async function answerCdr(
  deps: FullDeps,
  admitted: NodeRow | Promise<NodeRow>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const node = await admitted;
  const text = await readWholeBody(request, BODY_LIMIT_BYTES);
  let record: unknown;
  try {
    record = JSON.parse(text.trimStart().startsWith('{') ? text : String(parseForm(text).cdr ?? ''));
  } catch {
    record = undefined;
  }
  const result = await handleCdr(deps, node, record);
  if (result === 'malformed') deps.logger.warn({ node: node.name }, 'a call record could not be read');
  // 200 also for what can't be read: the node would send it again and again.
  response.writeHead(200, { 'content-type': 'text/plain' }).end(`${result}\n`);
}
