/** What can be done with a node that is in: approve it, drain it, take it back, remove it. */
import { SwitchyardError } from '../../errors';
import type { Db } from '../../infra/stores/db';
import type { Logger } from '../../infra/logger';
import { storeClock } from '../../infra/store-clock';
import type { EventLog } from '../events/events';
import { POOL_STREAM } from '../events/events.store';
import { countNodeWork } from './drain/own-drain.store';
import { countPhones } from './drain/phones.store';
import { deleteIdleNode, findNode, updateNode, type NodeRow, type NodeState } from './nodes.store';

/** What a node says of itself in the query of the one URL it has on disk. */
export interface NodeAddress {
  host: string;
  eslPort: number;
  sipPort: number;
  internodePort: number;
  wsPort: number;
  wsUrl: string | null;
  /** As the world sees it, where that is not `host`; told to the node itself, and not kept. */
  publicHost?: string;
  zone: string;
  capacityUnits: number;
}

export interface NodeDeps {
  db: Db;
  log: EventLog;
  logger: Logger;
  secretKey: Buffer;
}

export function addressColumns(address: NodeAddress): Partial<NodeRow> {
  return {
    host: address.host,
    esl_port: address.eslPort,
    sip_port: address.sipPort,
    internode_port: address.internodePort,
    ws_port: address.wsPort,
    ws_url: address.wsUrl,
    zone: address.zone,
    capacity_units: String(address.capacityUnits),
  };
}

/** Moves a node between states where it is in one of `expected`; says so once. @returns the row, if it moved. */
export async function changeNodeState(
  deps: Pick<NodeDeps, 'log' | 'logger'>,
  id: string,
  expected: readonly NodeState[],
  change: Partial<NodeRow> & { state: NodeState },
  data: Record<string, unknown> = {},
  where: Partial<NodeRow> = {},
): Promise<NodeRow | undefined> {
  return deps.log.record(async (trx, emit) => {
    const row = await updateNode(trx, id, expected, change, where);
    if (row) {
      emit({ stream: POOL_STREAM, type: `node.${row.state}`, nodeId: id, data: { name: row.name, ...data } });
      deps.logger.info({ node: row.name, state: row.state, ...data }, 'node state');
    }
    return row;
  });
}

/** An admin's yes: from now on it is answered, and connected to. */
export async function approveNode(deps: NodeDeps, id: string): Promise<NodeRow> {
  const row = await changeNodeState(deps, id, ['pending'], { state: 'joining' });
  return row ?? refuseState(deps, id, 'approved');
}

/** Takes no new calls from now on; those that run go on. @param phones `keep`: its phones know no other node */
export async function drainNode(
  deps: NodeDeps,
  id: string,
  deadlineSeconds: number,
  phones: 'move' | 'keep' = 'move',
): Promise<NodeRow> {
  const deadline = new Date(storeClock.nowMs() + deadlineSeconds * 1000);
  const row = await changeNodeState(
    deps,
    id,
    ['serving', 'joining', 'draining'],
    { state: 'draining', drain_deadline_at: deadline, drained_itself: false, keeps_phones: phones === 'keep' },
    { deadlineAt: deadline.toISOString(), phones },
  );
  return row ?? refuseState(deps, id, 'drained');
}

export async function resumeNode(deps: NodeDeps, id: string): Promise<NodeRow> {
  const change = { state: 'serving' as const, drain_deadline_at: null, drained_itself: false, keeps_phones: false };
  const row = await changeNodeState(deps, id, ['draining'], change);
  return row ?? refuseState(deps, id, 'resumed');
}

/**
 * @param force takes it away although phones are registered there: they ring no more until they register elsewhere
 * @throws conflict while it serves, or has live calls, rooms or phones, or recordings that have not been brought from it
 */
export async function removeNode(deps: NodeDeps, id: string, force = false): Promise<void> {
  const node = await findNode(deps.db, id);
  if (!node) throw new SwitchyardError('not_found', 'No such node.');
  const removed = await deps.log.record(async (trx, emit) => {
    const phones = await countPhones(trx, id);
    const done = (force || phones === 0 || node.state === 'down') && (await deleteIdleNode(trx, id));
    if (done) emit({ stream: POOL_STREAM, type: 'node.removed', nodeId: id, data: { name: node.name, phones } });
    return { done, phones };
  });
  if (removed.done) return;
  throw new SwitchyardError('conflict', await explainStay(deps, node, removed.phones));
}

async function explainStay(deps: NodeDeps, { id, name, state }: NodeRow, phones: number): Promise<string> {
  if (state === 'serving') return `Node ${name} serves: drain it first.`;
  const { liveCalls, liveLegs, rooms, filesToSend } = await countNodeWork(deps.db, id);
  if (liveCalls + liveLegs + rooms + filesToSend > 0)
    return `Node ${name} still has calls, rooms or recordings that are not brought yet: wait until they are over.`;
  const counted = phones === 1 ? '1 phone' : `${phones} phones`;
  return `Node ${name} is empty but for ${counted}: wait until they have moved, or remove it with force=true.`;
}

async function refuseState(deps: NodeDeps, id: string, what: string): Promise<never> {
  const node = await findNode(deps.db, id);
  if (!node) throw new SwitchyardError('not_found', 'No such node.');
  throw new SwitchyardError('conflict', `Node ${node.name} is ${node.state}: it can't be ${what} now.`);
}
