/** What can be done with a node: let it in by its token, drain it, take it back, remove it, and say how it is. */
import { SwitchyardError } from '../../errors';
import type { Db } from '../../infra/db';
import { createId } from '../../infra/ids';
import type { Logger } from '../../infra/logger';
import { equalSecrets, hashSecret } from '../../infra/secrets';
import type { EventLog } from '../events/events';
import { POOL_STREAM } from '../events/events.store';
import { makeNodePassword } from './node-password';
import {
  deleteIdleNode,
  findNode,
  findNodeByName,
  insertNode,
  updateNode,
  type NodeRow,
  type NodeState,
} from './nodes.store';

/** What a node says of itself in the query of the one URL it has on disk. */
export interface NodeAddress {
  host: string;
  eslPort: number;
  sipPort: number;
  internodePort: number;
  wsPort: number;
  wsUrl: string | null;
  zone: string;
  capacityUnits: number;
}

export interface NodeDeps {
  db: Db;
  log: EventLog;
  logger: Logger;
  secretKey: Buffer;
  joinToken: string;
}

const NODE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

/** Nothing else is looked up: a name comes from whoever asks. */
export const isNodeName = (text: string): boolean => NODE_NAME.test(text);

function addressColumns(address: NodeAddress): Partial<NodeRow> {
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

/** Splits `<joinToken>.<nodeSecret>`, as a node has it on disk. */
export function splitNodePassword(password: string): { token: string; secret: string } {
  const at = password.indexOf('.');
  return at < 0 ? { token: '', secret: password } : { token: password.slice(0, at), secret: password.slice(at + 1) };
}

/**
 * Says which node asks. An unknown name with the right join token is enrolled; a known one must show its own secret.
 * A machine made anew under an old name (other secret, right token) is taken in only while the old one is down.
 * @returns undefined where it may not enter.
 */
export async function admitNode(
  deps: NodeDeps,
  name: string,
  password: string,
  address: NodeAddress | undefined,
): Promise<NodeRow | undefined> {
  if (!isNodeName(name)) return undefined;
  const { token, secret } = splitNodePassword(password);
  if (secret.length < 16) return undefined;
  const secretHash = hashSecret(secret);
  const known = await findNodeByName(deps.db, name);
  if (known && equalSecrets(known.secret_hash, secretHash)) {
    return address && addressChanged(known, address) ? moveNode(deps, known, address) : known;
  }
  if (!address) return undefined;
  const why = !equalSecrets(token, deps.joinToken)
    ? `it shows no valid join token${known ? ', and not the secret it entered with' : ''}`
    : known && known.state !== 'down'
      ? `a node of that name is ${known.state} with another secret: stop that one first, or give this one another name`
      : undefined;
  if (why) {
    deps.logger.warn({ node: name, host: address.host, why }, 'a node may not enter');
    return undefined;
  }
  if (known) return moveNode(deps, known, address, secretHash);
  return enrolNode(deps, name, secretHash, address);
}

function addressChanged(row: NodeRow, address: NodeAddress): boolean {
  return Object.entries(addressColumns(address)).some(
    ([column, value]) => String(row[column as keyof NodeRow] ?? '') !== String(value ?? ''),
  );
}

async function enrolNode(
  deps: NodeDeps,
  name: string,
  secretHash: string,
  address: NodeAddress,
): Promise<NodeRow | undefined> {
  const id = createId();
  const row = await deps.log.record(async (trx, emit) => {
    const created = await insertNode(trx, {
      id,
      name,
      secret_hash: secretHash,
      esl_password_sealed: makeNodePassword(deps.secretKey, id),
      state: 'joining',
      ...addressColumns(address),
    });
    if (created) emit({ stream: POOL_STREAM, type: 'node.joining', nodeId: id, data: { name, host: address.host } });
    return created;
  });
  deps.logger.info({ node: name, host: address.host }, 'a new node enters the pool');
  return row ?? findNodeByName(deps.db, name);
}

async function moveNode(
  deps: NodeDeps,
  known: NodeRow,
  address: NodeAddress,
  secretHash?: string,
): Promise<NodeRow | undefined> {
  // Joining, so that the old machine can't take the name back with its own secret.
  const anew = secretHash ? { secret_hash: secretHash, state: 'joining' as const } : {};
  const change = { ...addressColumns(address), ...anew };
  return deps.log.record(async (trx, emit) => {
    const row = await updateNode(trx, known.id, [known.state], change);
    if (row)
      emit({ stream: POOL_STREAM, type: 'node.moved', nodeId: row.id, data: { name: row.name, host: row.host } });
    return row;
  });
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

/** Takes no new calls from now on; those that run go on. */
export async function drainNode(deps: NodeDeps, id: string, deadlineSeconds: number): Promise<NodeRow> {
  const deadline = new Date(Date.now() + deadlineSeconds * 1000);
  const row = await changeNodeState(
    deps,
    id,
    ['serving', 'joining', 'draining'],
    { state: 'draining', drain_deadline_at: deadline, drained_itself: false },
    { deadlineAt: deadline.toISOString() },
  );
  return row ?? refuseState(deps, id, 'drained');
}

export async function resumeNode(deps: NodeDeps, id: string): Promise<NodeRow> {
  const change = { state: 'serving' as const, drain_deadline_at: null, drained_itself: false };
  const row = await changeNodeState(deps, id, ['draining'], change);
  return row ?? refuseState(deps, id, 'resumed');
}

/** @throws conflict while it serves, or has live calls or rooms, or recordings that have not been brought from it. */
export async function removeNode(deps: NodeDeps, id: string): Promise<void> {
  const node = await findNode(deps.db, id);
  if (!node) throw new SwitchyardError('not_found', 'There is no such node.');
  const removed = await deps.log.record(async (trx, emit) => {
    const done = await deleteIdleNode(trx, id);
    if (done) emit({ stream: POOL_STREAM, type: 'node.removed', nodeId: id, data: { name: node.name } });
    return done;
  });
  if (!removed) {
    throw new SwitchyardError(
      'conflict',
      node.state === 'serving'
        ? `Node ${node.name} serves: drain it first.`
        : `Node ${node.name} still has calls, rooms or recordings that are not brought yet: wait until they are over.`,
    );
  }
}

async function refuseState(deps: NodeDeps, id: string, what: string): Promise<never> {
  const node = await findNode(deps.db, id);
  if (!node) throw new SwitchyardError('not_found', 'There is no such node.');
  throw new SwitchyardError('conflict', `Node ${node.name} is ${node.state}: it can't be ${what} now.`);
}
