/** The two doors for nodes: xml_curl's questions and call records. Plain node:http, since every phone waits on them. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { parse as parseForm } from 'node:querystring';
import {
  configurationXml,
  notFoundXml,
  parseXmlRequest,
  userXml,
  type ConfigurationRequest,
  type RoomConfiguration,
  type UserRequest,
  type XmlRequest,
} from '../freeswitch/xml';
import { isUnreachable } from '../infra/db';
import type { Logger } from '../infra/logger';
import { takeCdr } from '../domains/calls/cdr';
import { answerDialplan } from '../domains/calls/dialplan';
import { reachForCall, type DialplanDeps } from '../domains/calls/reach';
import { answerCanaryRoom } from '../domains/nodes/canary-entrance';
import { looksLikeCanary } from '../domains/nodes/canary-name';
import { admitNode, type AdmissionDeps } from '../domains/nodes/entering/admission';
import { giveEslPassword, takeCore } from '../domains/nodes/entering/esl-password';
import { listHosts, type NodeRow } from '../domains/nodes/nodes.store';
import type { Directory, DirectoryUser } from '../domains/users/directory';
import { readNodeAddress, readNodeBase, readNodeDoors } from './node.address';
import { readNodeForm } from './node.form';
import { SwitchyardError } from '../errors';

export interface EntranceDeps extends DialplanDeps, Pick<AdmissionDeps, 'joinToken' | 'approval' | 'rules'> {
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
  /** Told whose hash a node was given. */
  noteUserGiven?: (node: NodeRow, username: string, domain: string) => void;
  /** Told when a node has just entered, so that it is connected to at once. */
  onNodeSeen: () => void;
  /** What a node is told of the room of a session; refused where the room is not that node's. */
  roomConfiguration?: (node: NodeRow, sessionId: string) => Promise<RoomConfiguration | 'refused'>;
}

/** A dialplan question of a video call has about 160 fields and 20 kB; a CDR of it up to 100 kB. */
const BODY_LIMIT_BYTES = 1_000_000;
const BODY_TIMEOUT_MS = 5000;
/** How long a node's proof is taken as given; a removed node is out after this. */
const ADMITTED_MS = 5000;
/** While the database is away, a node that was let in before is let in. */
const REMEMBERED_MS = 86_400_000;

/** Two doors and two addresses for each of a thousand nodes. */
const REMEMBERED_KEYS = 4096;

interface Admitted {
  node: NodeRow;
  atMs: number;
}

/** @returns a handler that answers where the path is one of a node's doors, and says so. */
export function createNodeEntrance(
  deps: EntranceDeps,
): (request: IncomingMessage, response: ServerResponse) => boolean {
  const admitted = new Map<string, Admitted>();
  return (request, response) => {
    const path = request.url ?? '';
    const isXml = path.startsWith('/freeswitch/xml');
    if (!isXml && !path.startsWith('/freeswitch/cdr')) return false;
    if (isXml) answerXml(deps, admitted, request, response);
    else answerCdr(deps, admitted, request, response).catch((e: unknown) => refuseNode(deps.logger, response, e));
    return true;
  };
}

/** Says no, in words for the operator of the node. */
export function refuseNode(logger: Logger, response: ServerResponse, error: unknown): void {
  const known = error instanceof SwitchyardError;
  const status = known ? error.status : isUnreachable(error) ? 503 : 500;
  if (status >= 500) logger.error({ err: error }, 'a node gets no answer');
  else logger.warn({ fault: (error as Error).message }, 'a node was refused');
  if (response.headersSent) return;
  const headers: Record<string, string> = { 'content-type': 'text/plain' };
  if (status === 401) headers['www-authenticate'] = 'Basic realm="nodes"';
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

export function readCredentials(header: string | undefined): { name: string; password: string } | undefined {
  if (!header?.startsWith('Basic ')) return undefined;
  const text = Buffer.from(header.slice(6), 'base64').toString('utf8');
  const at = text.indexOf(':');
  return at < 0 ? undefined : { name: text.slice(0, at), password: text.slice(at + 1) };
}

function admissionKey(request: IncomingMessage, door: 'xml' | 'cdr'): string {
  const header = request.headers.authorization ?? '';
  return door === 'xml' ? `${header}\n${request.url}` : header;
}

/** A node may ask with as many addresses as it likes: the one that was not used for longest is forgotten. */
function remember(admitted: Map<string, Admitted>, key: string, entry: Admitted): void {
  admitted.delete(key);
  admitted.set(key, entry);
  if (admitted.size > REMEMBERED_KEYS) admitted.delete(admitted.keys().next().value!);
}

/** @throws unauthorized for everybody who is no node of this pool, node_pending for one that waits to be approved */
async function admit(
  deps: EntranceDeps,
  admitted: Map<string, Admitted>,
  request: IncomingMessage,
  door: 'xml' | 'cdr',
): Promise<NodeRow> {
  const header = request.headers.authorization ?? '';
  const key = admissionKey(request, door);
  const known = admitted.get(key);
  const nowMs = Date.now();
  if (known && nowMs - known.atMs < ADMITTED_MS) return known.node;
  const credentials = readCredentials(header);
  if (!credentials) throw new SwitchyardError('unauthorized', 'A node shows its name and its password.');
  const address = door === 'xml' ? readNodeAddress(request.url ?? '') : undefined;
  try {
    const node = await admitNode(deps, credentials.name, credentials.password, address);
    if (!node) {
      admitted.delete(key);
      throw new SwitchyardError('unauthorized', `The node "${credentials.name.slice(0, 64)}" may not enter.`);
    }
    if (node.state === 'pending') {
      admitted.delete(key);
      throw new SwitchyardError('node_pending', `Not yet: the node "${node.name}" waits for an admin to approve it.`);
    }
    if (node.state === 'joining' || node.state === 'down') deps.onNodeSeen();
    remember(admitted, key, { node, atMs: nowMs });
    return node;
  } catch (error) {
    if (isUnreachable(error) && known && nowMs - known.atMs < REMEMBERED_MS) return known.node;
    throw error;
  }
}

/** A node that was let in just now and a user looked up just now are answered in the turn the question comes in. */
function answerXml(
  deps: EntranceDeps,
  admitted: Map<string, Admitted>,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const fail = (error: unknown): void => refuseNode(deps.logger, response, error);
  const known = admitted.get(admissionKey(request, 'xml'));
  const node = known && Date.now() - known.atMs < ADMITTED_MS ? known.node : admit(deps, admitted, request, 'xml');
  if (node instanceof Promise) node.catch(fail);
  readBody(
    request,
    (body) => {
      try {
        const question = parseXmlRequest(readNodeForm(body));
        const isPassword = question.kind === 'user' && question.purpose !== 'user_call';
        if (isPassword && !(node instanceof Promise)) {
          const user = (deps.logins ?? deps.directory).readFresh(question.username, question.domain);
          if (user !== undefined) {
            deps.countXmlAnswer?.('user_cached');
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
  deps: EntranceDeps,
  node: NodeRow | Promise<NodeRow>,
  question: XmlRequest,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const xml = await answerQuestion(deps, await node, question, request);
  deps.countXmlAnswer?.(question.kind);
  send(response, xml);
}

function send(response: ServerResponse, xml: string): void {
  if (response.headersSent) return; // it was refused while it was sent
  response.writeHead(200, { 'content-type': 'text/xml', 'content-length': Buffer.byteLength(xml) });
  response.end(xml);
}

function answerUser(
  deps: EntranceDeps,
  node: NodeRow,
  question: UserRequest,
  user: DirectoryUser | undefined,
  dialString?: string,
): string {
  if (user?.enabled) {
    deps.noteUserGiven?.(node, user.username, user.domain);
    return userXml({ ...user, cacheMs: 0, dialString });
  }
  const why = user ? 'the user is disabled' : 'there is no such user';
  const who = { username: question.username.slice(0, 64), domain: question.domain.slice(0, 253) };
  deps.logger.info({ ...who, node: node.name, from: question.networkIp, why }, 'a user was refused');
  return notFoundXml();
}

async function answerQuestion(
  deps: EntranceDeps,
  node: NodeRow,
  question: XmlRequest,
  request: IncomingMessage,
): Promise<string> {
  switch (question.kind) {
    case 'user': {
      // Only a user is called: a grant's phones are reached by its user's name.
      const directory = question.purpose === 'user_call' ? deps.directory : (deps.logins ?? deps.directory);
      const user = await directory.findUser(question.username, question.domain);
      const ringing = user?.enabled && question.purpose === 'user_call';
      const dialString = ringing ? await reachForCall(deps, node, question, user) : undefined;
      return answerUser(deps, node, question, user, dialString);
    }
    case 'dialplan':
      return answerDialplan(deps, node, question);
    case 'configuration':
      return (await answerConfiguration(deps, node, question, request)) ?? notFoundXml();
    default:
      return notFoundXml();
  }
}

/** Every room of ours is called by its session's id. */
const SESSION_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

async function answerConfiguration(
  deps: EntranceDeps,
  node: NodeRow,
  question: ConfigurationRequest,
  request: IncomingMessage,
): Promise<string | undefined> {
  const { conferenceName: sessionId = '' } = question;
  const room = looksLikeCanary(sessionId)
    ? answerCanaryRoom(deps, node, sessionId)
    : SESSION_ID.test(sessionId)
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
  const hosts = room ? [] : await listHosts(deps.db); // a room is answered also while the database is away
  const local = request.socket.localAddress?.replace(/^::ffff:/, '');
  const settings = {
    name: node.name,
    host: node.host,
    eslPort: node.esl_port,
    // No other answer has it in it.
    eslPassword: question.name === 'event_socket.conf' ? await eslPasswordOf(deps, node) : '',
    sipPort: node.sip_port,
    internodePort: node.internode_port,
    wsPort: node.ws_port,
    ...readNodeDoors(request.url ?? ''),
    heartbeatSeconds: deps.heartbeatSeconds,
    cdrUrl: `${readNodeBase(request.headers, deps.publicUrl)}/freeswitch/cdr`,
    cdrCredentials: `${credentials.name}:${credentials.password}`,
    poolHosts: [...new Set([...hosts, ...(deps.nodeNetworks ?? [])])],
    controlHosts: [...(local ? [local] : []), ...(deps.controlNetworks ?? [])],
    zone: node.zone,
  };
  return configurationXml(question.name, settings, room);
}

async function eslPasswordOf(deps: EntranceDeps, node: NodeRow): Promise<string> {
  const { password, isNew } = await giveEslPassword(deps, node);
  if (isNew) deps.onNodeSeen(); // connects with it
  return password;
}

/** Takes JSON itself, or the form that mod_json_cdr sends with `encode` (a field `cdr`). */
async function answerCdr(
  deps: EntranceDeps,
  admitted: Map<string, Admitted>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const body = new Promise<string>((resolve, reject) => readBody(request, resolve, reject));
  const [text, node] = await Promise.all([body, admit(deps, admitted, request, 'cdr')]);
  let record: unknown;
  try {
    record = JSON.parse(text.trimStart().startsWith('{') ? text : String(parseForm(text).cdr ?? ''));
  } catch {
    record = undefined;
  }
  const result = await takeCdr(deps, node, record);
  if (result === 'malformed') deps.logger.warn({ node: node.name }, 'a call record could not be read');
  // 200 also for what can't be read: the node would send it again and again.
  response.writeHead(200, { 'content-type': 'text/plain' }).end(`${result}\n`);
}
