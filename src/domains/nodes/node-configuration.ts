/** Puts together what a node is configured with when it asks for one of its configuration files. */
import {
  configurationXml,
  controlNetworks,
  markLists,
  type ConfigurationRequest,
  type NodeSettings,
  type RoomConfiguration,
} from '../../freeswitch/xml';
import { isOwnId } from '../../infra/ids';
import type { Logger } from '../../infra/logger';
import { storeClock } from '../../infra/store-clock';
import type { Db } from '../../infra/stores/db';
import { tellRefusesPhones } from './drain/phones';
import { giveEslPassword, takeCore } from './entering/esl-password';
import { answerCanaryRoom } from './health/canary/dialplan';
import { looksLikeCanaryToken } from './health/canary/token';
import { reportLimitMs } from './limits';
import { findNode, listHosts, noteEslNetworks, type NodeRow } from './nodes.store';

export interface NodeConfigurationDeps {
  db: Db;
  logger: Logger;
  secretKey: Buffer;
  heartbeatSeconds: number;
  /** From where the Event Socket accepts connections, besides the loopback and the replica that answers. */
  controlNetworks?: readonly string[];
  /** From where calls of other nodes are accepted, besides the nodes that are known now. */
  nodeNetworks?: readonly string[];
  /** Called when a node has a new Event Socket password, so that it is connected to at once. */
  onNodeSeen: () => void;
  /** The profile of a session's room; refused if the room is not that node's. */
  roomConfiguration?: (node: NodeRow, sessionId: string) => Promise<RoomConfiguration | 'refused'>;
}

/** What the request says of the node besides its question. */
export interface AskingNode {
  node: NodeRow;
  /** Its ports and addresses, as its URL names them. */
  doors: Pick<NodeSettings, 'rtpFrom' | 'rtpTo'> & Partial<Pick<NodeSettings, 'wssPort' | 'publicHost'>>;
  /** Where its call records go, with what credentials. */
  cdrUrl: string;
  cdrCredentials: string;
  /** The address at which this replica was reached. */
  localHost: string | undefined;
}

/** @returns undefined if there is no such configuration for this node */
export async function answerConfiguration(
  deps: NodeConfigurationDeps,
  asking: AskingNode,
  question: ConfigurationRequest,
): Promise<string | undefined> {
  const { node } = asking;
  const room = await findRoom(deps, node, question);
  if (room === 'refused') return undefined;
  if (!room) await takeCore(deps, node, question.coreUuid);
  const opensSocket = question.name === 'event_socket.conf';
  const settings = await settingsOf(deps, asking, question, room !== undefined);
  if (opensSocket) await noteEslNetworks(deps.db, node.id, controlNetworks(settings));
  return configurationXml(question.name, settings, room);
}

/** Every room of Switchyard's has the id of its session for a name. */
async function findRoom(
  deps: NodeConfigurationDeps,
  node: NodeRow,
  { name, conferenceName: sessionId = '' }: ConfigurationRequest,
): Promise<RoomConfiguration | 'refused' | undefined> {
  const room = looksLikeCanaryToken(sessionId)
    ? answerCanaryRoom(deps, node, sessionId)
    : isOwnId(sessionId)
      ? await deps.roomConfiguration?.(node, sessionId)
      : undefined;
  if (room === 'refused')
    deps.logger.warn({ node: node.name, sessionId, question: name }, 'a node asked for a room that is not its own');
  return room;
}

async function settingsOf(
  deps: NodeConfigurationDeps,
  { node, doors, cdrUrl, cdrCredentials, localHost }: AskingNode,
  { name }: ConfigurationRequest,
  isRoom: boolean,
): Promise<NodeSettings> {
  const hosts = isRoom ? [] : await listHosts(deps.db); // a room is answered also while the database is unavailable
  const poolHosts = [...new Set([...hosts, ...(deps.nodeNetworks ?? [])])];
  return {
    name: node.name,
    host: node.host,
    eslPort: node.esl_port,
    // No other answer has it in it.
    eslPassword: name === 'event_socket.conf' ? await eslPasswordOf(deps, node) : '',
    sipPort: node.sip_port,
    internodePort: node.internode_port,
    wsPort: node.ws_port,
    ...doors,
    heartbeatSeconds: deps.heartbeatSeconds,
    cdrUrl,
    cdrCredentials,
    poolHosts,
    controlHosts: [...(localHost ? [localHost] : []), ...(deps.controlNetworks ?? [])],
    ...(name === 'acl.conf' ? await listsOf(deps, node, poolHosts) : {}),
    zone: node.zone,
    refusesPhones:
      name === 'sofia.conf' &&
      (await tellRefusesPhones(deps.db, node, storeClock.nowMs(), reportLimitMs(deps.heartbeatSeconds))),
  };
}

/** The networks of the Event Socket as it opened, which may be newer than the row at hand. */
async function listsOf(
  deps: NodeConfigurationDeps,
  node: NodeRow,
  poolHosts: readonly string[],
): Promise<Pick<NodeSettings, 'eslNetworks' | 'listsMark'>> {
  const networks = ((await findNode(deps.db, node.id)) ?? node).esl_networks;
  return {
    ...(networks === null ? {} : { eslNetworks: networks }),
    listsMark: markLists({ poolHosts, controlNetworks: deps.controlNetworks ?? [] }),
  };
}

async function eslPasswordOf(deps: NodeConfigurationDeps, node: NodeRow): Promise<string> {
  const { password, isNew } = await giveEslPassword(deps, node);
  if (isNew) deps.onNodeSeen(); // connects with it
  return password;
}
