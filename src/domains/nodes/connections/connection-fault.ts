/** Why a node can't be connected to: kept with the node, said once for each change, and in words that name the cure. */
import { z } from 'zod';
import { hostAndPort } from '../../../address';
import type { Db } from '../../../infra/stores/db';
import type { Logger } from '../../../infra/logger';
import { saveConnectionFault, type NodeRow } from '../nodes.store';

export const CONNECTION_FAULTS = [
  'refused',
  'unreachable',
  'timeout',
  'auth_failed',
  'acl_denied',
  'lost',
  'bad_reply',
] as const;
export type ConnectionFaultKind = (typeof CONNECTION_FAULTS)[number];

export interface ConnectionFault {
  kind: ConnectionFaultKind;
  /** What the connection said, with our own address where the node does not let it in. */
  detail: string;
  since: string;
}

export const connectionFaultSchema = z
  .object({
    kind: z.enum(CONNECTION_FAULTS),
    since: z.iso.datetime(),
    why: z.string().describe('The likely cause, and what to do.'),
  })
  .nullable()
  .describe("Why Switchyard isn't connected to the node; null: it is, or hasn't tried yet.");

/** What it may be, and what to do; each names address and setting. */
export function explainConnectionFault(
  node: Pick<NodeRow, 'host' | 'esl_port' | 'esl_networks'>,
  fault: Pick<ConnectionFault, 'kind' | 'detail'>,
): string {
  const where = hostAndPort(node.host, node.esl_port);
  switch (fault.kind) {
    case 'refused':
      return `Nothing listens at ${where}: is FreeSWITCH running there, and does its URL name the address and port at which it can be reached (host, esl)? One that was started by a version before 0.4 may listen on its loopback only: start it anew.`;
    case 'unreachable':
      return `No way leads to ${where}: is that address right, and can it be reached from here? (${fault.detail})`;
    case 'timeout':
      return `${where} does not answer: the address is wrong, a firewall drops what we send, or the process stands still.`;
    case 'auth_failed':
      return `The Event Socket at ${where} has another password: another FreeSWITCH is at that port, or this one was given its password by another Switchyard. Start the node anew.`;
    case 'acl_denied':
      return `The Event Socket at ${where} does not let us in (${fault.detail}). ${
        node.esl_networks === null
          ? 'It was started by a version before 0.4, which lost its list when nobody could answer it'
          : `It lets in ${node.esl_networks}`
      }: name our address in CONTROL_NETWORKS of every replica, then start the node anew.`;
    case 'lost':
      return `The connection to ${where} ended: the node is stopping, or what answers there closes it.`;
    case 'bad_reply':
      return `What answers at ${where} is not an Event Socket, or failed to be taken up: is the port right (esl)? (${fault.detail})`;
  }
}

export function presentConnectionFault(
  node: Pick<NodeRow, 'host' | 'esl_port' | 'esl_networks' | 'connection_fault'>,
): z.output<typeof connectionFaultSchema> {
  const fault = node.connection_fault;
  return fault && { kind: fault.kind, since: fault.since, why: explainConnectionFault(node, fault) };
}

/** How often a fault that stays is said again. */
const SAID_AGAIN_MS = 600_000;

export interface ConnectionFaults {
  /** @returns whether it is another than before: then it is to be written down */
  take(fault: { kind: string; message: string }): boolean;
  save(): Promise<void>;
  /** It is up: whatever was wrong is over. */
  clear(): Promise<void>;
}

/** Those of one node, for as long as a replica looks after it. */
export function createConnectionFaults(o: {
  db: Db;
  logger: Logger;
  node: Pick<NodeRow, 'id' | 'name' | 'host' | 'esl_port'>;
  now: () => number;
}): ConnectionFaults {
  let current: ConnectionFault | undefined;
  let saidAtMs = -Infinity;
  const isKnown = (kind: string): kind is ConnectionFaultKind =>
    (CONNECTION_FAULTS as readonly string[]).includes(kind);
  return {
    take({ kind, message }) {
      if (!isKnown(kind)) return false;
      const isNew = current?.kind !== kind;
      if (isNew) current = { kind, detail: message.slice(0, 200), since: new Date(o.now()).toISOString() };
      if (isNew || o.now() - saidAtMs >= SAID_AGAIN_MS) {
        saidAtMs = o.now();
        const { name: node, host, esl_port: port } = o.node;
        o.logger.warn({ node, host, port, reason: kind, detail: message }, 'a node can not be connected to');
      }
      return isNew;
    },
    save: () => saveConnectionFault(o.db, o.node.id, current ?? null),
    async clear() {
      current = undefined;
      saidAtMs = -Infinity;
      await saveConnectionFault(o.db, o.node.id, null);
    },
  };
}
