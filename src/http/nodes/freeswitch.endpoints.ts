/** The two doors for nodes: xml_curl's questions and call records. Plain node:http, since every phone waits on them. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { parse as parseForm } from 'node:querystring';
import {
  configurationXml,
  controlNetworks,
  markLists,
  notFoundXml,
  parseXmlRequest,
  refusePlan,
  userXml,
  withoutFalseIds,
  type ConfigurationRequest,
  type NodeSettings,
  type RoomConfiguration,
  type UserRequest,
  type XmlRequest,
} from '../../freeswitch/xml';
import { readAddress } from '../../address';
import { isUnreachable } from '../../infra/stores/db';
import { storeClock } from '../../infra/store-clock';
import type { Gate, LoginGuard } from '../../domains/bans/logins';
import { handleCdr } from '../../domains/calls/events/cdr';
import { answerDialplan } from '../../domains/calls/dialplan/dialplan';
import { findContactsForCall, type DialplanDeps } from '../../domains/calls/dialplan/contacts';
import { answerCanaryRoom } from '../../domains/nodes/health/canary/dialplan';
import { looksLikeCanaryToken } from '../../domains/nodes/health/canary/token';
import type { AdmissionDeps } from '../../domains/nodes/entering/admission';
import { giveEslPassword, takeCore } from '../../domains/nodes/entering/esl-password';
import { expiresSecondsAt, tellRefusesPhones } from '../../domains/nodes/drain/phones';
import { reportLimitMs } from '../../domains/nodes/limits';
import { findNode, listHosts, noteEslNetworks, type NodeRow } from '../../domains/nodes/nodes.store';
import type { Directory, DirectoryUser } from '../../domains/users/directory';
import { judgeLogin, LOGIN_REFUSALS } from '../../domains/users/login-rule';
import { discard } from '../request/body';
import { createLocalGuard, type CredentialGuard } from './credential-guard';
import { readNodeBase, readNodeDoors } from './node-address';
import { admit, findAdmitted, isFresh, readCredentials, type AdmittedNodes } from './admission';
import { readNodeForm } from './form';
import { retryAfterOf } from '../problem';
import { SwitchyardError } from '../../errors';
import { isOwnId } from '../../infra/ids';

export interface EndpointDeps extends DialplanDeps, Pick<AdmissionDeps, 'joinToken' | 'approval' | 'rules'> {
  heartbeatSeconds: number;
  /** Its scheme is the one by which nodes come to its host, where their proxy does not say it. */
  publicUrl?: string;
  /** From where the Event Socket is let in, beside the loopback and the replica that answers. */
  controlNetworks?: readonly string[];
  /** From where calls of other nodes are let in, beside the nodes that are known now. */
  nodeNetworks?: readonly string[];
  /** Told of each answer, by the kind of the question. */
  countXmlAnswer?: (kind: string) => void;
  /** Whose passwords are checked: users and grants (createLogins); users only where it is left out. */
  logins?: Pick<Directory, 'findUser' | 'readFresh'>;
  /** Refuses logins of those who guess; nobody's where it is left out. */
  loginGuard?: LoginGuard;
  /** Told of each login that was proved at a node. */
  noteLogin?: (nodeId: string, username: string, domain: string) => void;
  /** Told whose hash a node was given. */
  noteUserGiven?: (node: NodeRow, username: string, domain: string) => void;
  /** Told when a node has just entered, so that it is connected to at once. */
  onNodeSeen: () => void;
  /** Keeps those away who show wrong credentials; one of its own where it is left out. */
  guard?: CredentialGuard;
  /** What a node is told of the room of a session; refused where the room is not that node's. */
  roomConfiguration?: (node: NodeRow, sessionId: string) => Promise<RoomConfiguration | 'refused'>;
}

/** A dialplan question of a video call has about 160 fields and 20 kB; a CDR of it up to 100 kB. */
const BODY_LIMIT_BYTES = 1_000_000;
const BODY_TIMEOUT_MS = 5000;

type GuardedDeps = EndpointDeps & { guard: CredentialGuard };

/** @returns a handler that answers where the path is one of a node's doors, and says so. */
export function createFreeswitchEndpoints(
  deps: EndpointDeps,
): (request: IncomingMessage, response: ServerResponse) => boolean {
  const admitted: AdmittedNodes = new Map();
  const guarded = { ...deps, guard: deps.guard ?? createLocalGuard() };
  return (request, response) => {
    // Exactly: a proxy that publishes /v1 passes on "/freeswitch/xml/../../v1/x" as it stands.
    const [path] = (request.url ?? '').split('?', 1);
    const isXml = path === '/freeswitch/xml';
    if (!isXml && path !== '/freeswitch/cdr') return false;
    if (isXml) answerXml(guarded, admitted, request, response);
    else answerCdr(guarded, admitted, request, response).catch((e: unknown) => refuseNode(deps, request, response, e));
    return true;
  };
}

/** Says no, in words for the operator of the node. */
export function refuseNode(
  { logger }: Pick<EndpointDeps, 'logger'>,
  request: IncomingMessage,
  response: ServerResponse,
  error: unknown,
): void {
  const known = error instanceof SwitchyardError;
  const status = known ? error.status : isUnreachable(error) ? 503 : 500;
  if (status >= 500) logger.error({ err: error }, 'a node gets no answer');
  else logger.warn({ fault: (error as Error).message }, 'a node was refused');
  if (response.headersSent) return;
  const headers: Record<string, string> = { 'content-type': 'text/plain' };
  if (status === 401) headers['www-authenticate'] = 'Basic realm="nodes"';
  const retryAfter = retryAfterOf(error);
  if (retryAfter !== undefined) headers['retry-after'] = retryAfter;
  // A body that nobody has asked for is not kept, and the connection ends with the answer.
  if (!request.complete) {
    headers.connection = 'close';
    discard(request);
  }
  response.writeHead(status, headers).end(known ? `${error.code}: ${error.message}\n` : 'unavailable\n');
}

/**
 * Reads a node's question, which is small and comes at once. By callbacks, since a password's answer is often there
 * when the body is, and need not wait for promises.
 * @param fail is told payload_too_large, request_timeout, or what broke; nothing is told after that.
 */
export function readBody(
  request: IncomingMessage,
  done: (body: string) => void,
  fail: (error: Error) => void,
  limitBytes = BODY_LIMIT_BYTES,
): void {
  let first: Buffer | undefined;
  let rest: Buffer[] | undefined;
  let size = 0;
  const stop = (error: Error): void => {
    clearTimeout(timer);
    request.removeAllListeners('data');
    request.removeAllListeners('end');
    request.resume();
    fail(error);
  };
  const timer = setTimeout(() => stop(new SwitchyardError('request_timeout')), BODY_TIMEOUT_MS);
  request.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > limitBytes) stop(new SwitchyardError('payload_too_large', `The body is over ${limitBytes} bytes.`));
    else if (!first) first = chunk;
    else (rest ??= [first]).push(chunk);
  });
  request.on('end', () => {
    clearTimeout(timer);
    done((rest ? Buffer.concat(rest) : (first ?? Buffer.alloc(0))).toString('utf8'));
  });
  request.on('error', stop);
}

/**
 * A node that was let in just now and a user looked up just now are answered in the turn the question comes in. Whoever
 * is not known yet is looked up by their headers; nothing of their body is read before that.
 */
function answerXml(
  deps: GuardedDeps,
  admitted: AdmittedNodes,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const fail = (error: unknown): void => refuseNode(deps, request, response, error);
  const known = findAdmitted(admitted, request, 'xml');
  if (known && isFresh(known, storeClock.nowMs())) readQuestion(deps, known.node, request, response, fail);
  else
    admit(deps, admitted, request, 'xml')
      .then((node) => readQuestion(deps, node, request, response, fail))
      .catch(fail);
}

function readQuestion(
  deps: EndpointDeps,
  node: NodeRow,
  request: IncomingMessage,
  response: ServerResponse,
  fail: (error: unknown) => void,
): void {
  readBody(
    request,
    (body) => {
      try {
        const question = withoutFalseIds(parseXmlRequest(readNodeForm(body)));
        const isPassword = question.kind === 'user' && question.purpose !== 'user_call';
        if (isPassword) {
          const gate = gateOf(deps, question);
          if (gate === 'shut') return send(response, refuseLogin(deps, node, question));
          const user = (deps.logins ?? deps.directory).readFresh(question.username, question.domain);
          if (user !== undefined && gate === 'open') {
            deps.countXmlAnswer?.('user_cached');
            // Its gate is open: it is answered, whatever is counted.
            if (question.purpose === 'sip_auth')
              void deps.loginGuard?.take(question, user ?? undefined, gate, node.name);
            return send(response, answerUser(deps, node, question, user ?? undefined));
          }
        }
        answerLater(deps, node, question, request, response).catch(fail);
      } catch (error) {
        fail(error);
      }
    },
    fail,
  );
}

async function answerLater(
  deps: EndpointDeps,
  node: NodeRow,
  question: XmlRequest,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const xml = await answerQuestion(deps, node, question, request);
  deps.countXmlAnswer?.(question.kind);
  send(response, xml);
}

function send(response: ServerResponse, xml: string): void {
  if (response.headersSent) return; // it was refused while it was sent
  response.writeHead(200, { 'content-type': 'text/xml', 'content-length': Buffer.byteLength(xml) });
  response.end(xml);
}

const gateOf = (deps: EndpointDeps, question: UserRequest): Gate =>
  question.purpose === 'sip_auth' ? (deps.loginGuard?.check(question) ?? 'open') : 'open';

/** A node then tells the phone 403, as for a wrong password. */
function refuseLogin(deps: EndpointDeps, node: NodeRow, question: UserRequest): string {
  deps.countXmlAnswer?.('user_banned');
  deps.logger.debug({ node: node.name, from: question.networkIp }, 'a login was refused for those before it');
  return notFoundXml();
}

function answerUser(
  deps: EndpointDeps,
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
    return userXml({ ...user, ha1: isProved ? user.ha1 : undefined, cacheMs: 0, dialString, expiresSeconds });
  }
  const why = LOGIN_REFUSALS[refusal ?? 'no_such_user'];
  const who = { username: question.username.slice(0, 64), domain: question.domain.slice(0, 253) };
  deps.logger.info({ ...who, node: node.name, from: question.networkIp, why }, 'a user was refused');
  return notFoundXml();
}

async function answerQuestion(
  deps: EndpointDeps,
  node: NodeRow,
  question: XmlRequest,
  request: IncomingMessage,
): Promise<string> {
  switch (question.kind) {
    case 'user': {
      // Only a user is called: a grant's phones are reached by its user's name.
      const directory = question.purpose === 'user_call' ? deps.directory : (deps.logins ?? deps.directory);
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
      return (await answerConfiguration(deps, node, question, request)) ?? notFoundXml();
    default:
      return question.kind === 'unknown' && question.section === 'dialplan'
        ? refuseChannel(deps, node, question.context)
        : notFoundXml();
  }
}

/** A channel that does not say which it is, or where it wants to go, must not be left to what else it might find. */
function refuseChannel(deps: EndpointDeps, node: NodeRow, context: string | undefined): string {
  deps.logger.warn(
    { node: node.name, context: context?.slice(0, 64) },
    'a channel asked the way and did not say which it is',
  );
  return refusePlan({ context, sipStatus: 404, reason: 'Not a channel, or not a destination' });
}

async function answerConfiguration(
  deps: EndpointDeps,
  node: NodeRow,
  question: ConfigurationRequest,
  request: IncomingMessage,
): Promise<string | undefined> {
  const { conferenceName: sessionId = '' } = question;
  const room = looksLikeCanaryToken(sessionId)
    ? answerCanaryRoom(deps, node, sessionId)
    : isOwnId(sessionId) // every room of ours is called by its session's id
      ? await deps.roomConfiguration?.(node, sessionId)
      : undefined;
  if (room === 'refused') {
    deps.logger.warn(
      { node: node.name, sessionId, question: question.name },
      'a node asked for a room that is not its own',
    );
    return undefined;
  }
  if (!room) await takeCore(deps, node, question.coreUuid);
  const credentials = readCredentials(request.headers.authorization)!;
  const isLists = question.name === 'acl.conf';
  const hosts = room ? [] : await listHosts(deps.db); // a room is answered also while the database is away
  const local = readAddress(request.socket.localAddress ?? '');
  const controlHosts = [...(local ? [local] : []), ...(deps.controlNetworks ?? [])];
  const opensSocket = question.name === 'event_socket.conf';
  const poolHosts = [...new Set([...hosts, ...(deps.nodeNetworks ?? [])])];
  const settings: NodeSettings = {
    name: node.name,
    host: node.host,
    eslPort: node.esl_port,
    // No other answer has it in it.
    eslPassword: opensSocket ? await eslPasswordOf(deps, node) : '',
    sipPort: node.sip_port,
    internodePort: node.internode_port,
    wsPort: node.ws_port,
    ...readNodeDoors(request.url ?? ''),
    heartbeatSeconds: deps.heartbeatSeconds,
    cdrUrl: `${readNodeBase(request.headers, deps.publicUrl)}/freeswitch/cdr`,
    cdrCredentials: `${credentials.name}:${credentials.password}`,
    poolHosts,
    controlHosts,
    ...(isLists ? await listsOf(deps, node, poolHosts) : {}),
    zone: node.zone,
    refusesPhones:
      question.name === 'sofia.conf' &&
      (await tellRefusesPhones(deps.db, node, storeClock.nowMs(), reportLimitMs(deps.heartbeatSeconds))),
  };
  if (opensSocket) await noteEslNetworks(deps.db, node.id, controlNetworks(settings));
  return configurationXml(question.name, settings, room);
}

/** What the node's process was told when its Event Socket opened may be newer than the row at hand. */
async function listsOf(
  deps: EndpointDeps,
  node: NodeRow,
  poolHosts: readonly string[],
): Promise<Pick<NodeSettings, 'eslNetworks' | 'listsMark'>> {
  const told = ((await findNode(deps.db, node.id)) ?? node).esl_networks;
  return {
    ...(told === null ? {} : { eslNetworks: told }),
    listsMark: markLists({ poolHosts, controlNetworks: deps.controlNetworks ?? [] }),
  };
}

async function eslPasswordOf(deps: EndpointDeps, node: NodeRow): Promise<string> {
  const { password, isNew } = await giveEslPassword(deps, node);
  if (isNew) deps.onNodeSeen(); // connects with it
  return password;
}

/** Takes JSON itself, or the form that mod_json_cdr sends with `encode` (a field `cdr`). */
async function answerCdr(
  deps: GuardedDeps,
  admitted: AdmittedNodes,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const node = await admit(deps, admitted, request, 'cdr');
  const text = await new Promise<string>((resolve, reject) => readBody(request, resolve, reject));
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
