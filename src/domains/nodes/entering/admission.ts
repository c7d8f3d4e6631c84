/** Lets a node in: by its own secret, once it was enrolled by a token for its name, and once an admin has said yes where that is asked for. */
import { SwitchyardError } from '../../../errors';
import type { Trx } from '../../../infra/stores/db';
import { createId } from '../../../infra/ids';
import { equalSecrets, hashSecret } from '../../../infra/secrets';
import { storeClock } from '../../../infra/store-clock';
import type { EventDraft } from '../../events/events.store';
import { POOL_STREAM } from '../../events/events.store';
import { makeNodePassword } from './node-password';
import { addressColumns, type NodeAddress, type NodeDeps } from '../nodes';
import { findNodeAtPorts, findNodeByName, insertNode, lockNodeByName, updateNode, type NodeRow } from '../nodes.store';
import { refuseAddress, type AddressRules } from './address-guard';
import { refuseMixed } from './one-family';
import { hasEnrolment, insertToken, takeEnrolment, takeToken } from './node-tokens.store';

/** Who waits for an admin's yes: nobody, those that came by the reusable join token, everybody. */
export type NodeApproval = 'never' | 'join_token' | 'always';

export interface AdmissionDeps extends NodeDeps {
  /** NODE_JOIN_TOKEN: good for every name, again and again; undefined: there is none. */
  joinToken: string | undefined;
  approval: NodeApproval;
  rules: AddressRules;
}

export const NODE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
/** Nothing else is looked up: a name comes from whoever asks. */
export const isNodeName = (text: string): boolean => NODE_NAME.test(text);
/** Made by the node's launcher, and known to nobody else. */
const NODE_SECRET = /^[\x21-\x7e]{16,256}$/;

/** A node that was enrolled before it said where it is has so long to come. */
const COME_WITHIN_MS = 86_400_000;

type Emit = (draft: EventDraft) => void;

/**
 * Whether this is the node's own secret. One that was started by a version before 0.3 shows `<join token>.<secret>` until it
 * is started again: what stands before the point counts for nothing.
 */
export function isSecretOf(node: Pick<NodeRow, 'secret_hash'>, shown: string): boolean {
  const at = shown.indexOf('.');
  if (equalSecrets(node.secret_hash, hashSecret(shown))) return true;
  return at >= 0 && equalSecrets(node.secret_hash, hashSecret(shown.slice(at + 1)));
}

/** @throws invalid_request where that can't be a node's address */
function requireAddress(deps: AdmissionDeps, address: NodeAddress): void {
  const why = refuseAddress(address, deps.rules);
  if (why) throw new SwitchyardError('invalid_request', `The node's address: ${why}.`);
}

/**
 * Says which node asks, by its secret alone. One that was enrolled and is here for the first time gets its row.
 * @param from the address that the question came from
 * @returns undefined where it may not enter @throws invalid_request where its address can't be a node's, conflict where
 *   another node is there, or it may not move there now
 */
export async function admitNode(
  deps: AdmissionDeps,
  name: string,
  secret: string,
  address: NodeAddress | undefined,
  from?: string,
): Promise<NodeRow | undefined> {
  if (!NODE_NAME.test(name) || !NODE_SECRET.test(secret)) return undefined;
  const node = await recognise(deps, name, secret, address, from);
  if (!node && address) explain(deps, name, address, 'it was not enrolled with this secret: enrol it first');
  return node;
}

async function recognise(
  deps: AdmissionDeps,
  name: string,
  secret: string,
  address: NodeAddress | undefined,
  from: string | undefined,
): Promise<NodeRow | undefined> {
  const secretHash = hashSecret(secret);
  const known = await findNodeByName(deps.db, name);
  if (known && isSecretOf(known, secret)) {
    return address && addressChanged(known, address) ? moveNode(deps, known, address, from) : known;
  }
  const now = storeClock.now();
  if (!address || !(await hasEnrolment(deps.db, { name, secretHash, now }))) return undefined;
  requireAddress(deps, address);
  return deps.log.record(async (trx, emit) => {
    const before = await requireFree(deps, trx, name, address);
    const enrolment = await takeEnrolment(trx, { name, secretHash, now });
    if (!enrolment) return findNodeByName(trx, name); // another question of it was quicker
    return enter(deps, trx, emit, { name, secretHash, address, before, isByJoinToken: enrolment.token_hash === null });
  });
}

export interface Enrolment {
  name: string;
  /** What the node shows from now on. */
  secret: string;
  /** Shown here, once; left out by a node that may be enrolled already. */
  token?: string;
  /** Where it will be; left out: it says so with its first question. */
  address?: NodeAddress;
  /** The address that the question came from. */
  from?: string;
}

/**
 * The one place where a token counts: from here on the node has its own secret and nothing else.
 * @returns `in`, or `pending` where an admin has to say yes first
 * @throws unauthorized without a token for this name, conflict while the name is another's, invalid_request for its address
 */
export async function enrolNode(deps: AdmissionDeps, o: Enrolment): Promise<'in' | 'pending'> {
  const { name, secret, token, address } = o;
  if (!NODE_NAME.test(name)) throw new SwitchyardError('invalid_request', 'Not a valid node name.');
  if (!NODE_SECRET.test(secret)) {
    throw new SwitchyardError('invalid_request', "A node's secret must have 16 to 256 characters without spaces.");
  }
  if (address) requireAddress(deps, address);
  const secretHash = hashSecret(secret);
  const now = storeClock.now();
  const known = await recognise(deps, name, secret, address, o.from);
  if (known) return known.state === 'pending' ? 'pending' : 'in';
  if (!address && (await hasEnrolment(deps.db, { name, secretHash, now }))) return 'in';
  const isByJoinToken = token !== undefined && deps.joinToken !== undefined && equalSecrets(token, deps.joinToken);
  const row = await deps.log.record(async (trx, emit) => {
    const before = await requireFree(deps, trx, name, address);
    const enterBefore = address ? null : new Date(now.getTime() + COME_WITHIN_MS);
    if (!isByJoinToken) {
      const tokenHash = token === undefined ? '' : hashSecret(token);
      if (!(await takeToken(trx, { name, tokenHash, secretHash, now, enterBefore }))) return 'refused';
    } else if (enterBefore) {
      const kept = { id: createId(), name, token_hash: null, secret_hash: secretHash };
      await insertToken(trx, { ...kept, created_at: now, used_at: now, entered_at: null, expires_at: enterBefore });
    }
    return address && enter(deps, trx, emit, { name, secretHash, address, before, isByJoinToken });
  });
  if (row === 'refused') {
    explain(
      deps,
      name,
      address,
      token === undefined ? 'it shows no token' : 'its token is none for this name, was used, or is over',
    );
    throw new SwitchyardError('unauthorized', `The node "${name}" has no valid join token.`);
  }
  return row?.state === 'pending' ? 'pending' : 'in';
}

function explain(deps: AdmissionDeps, name: string, address: NodeAddress | undefined, why: string): void {
  deps.logger.warn({ node: name, host: address?.host ?? null, why }, 'a node may not enter');
}

/** @returns the row of that name, where its node is gone or was never let in @throws conflict while it is another's */
async function requireFree(
  deps: AdmissionDeps,
  trx: Trx,
  name: string,
  address: NodeAddress | undefined,
): Promise<NodeRow | undefined> {
  const before = await lockNodeByName(trx, name);
  if (!before || before.state === 'down' || before.state === 'pending') return before;
  const why = `a node of that name is ${before.state} with another secret: stop that one first, or give this one another name`;
  explain(deps, name, address, why);
  throw new SwitchyardError('conflict', `${why[0]!.toUpperCase()}${why.slice(1)}.`);
}

/** What was seen of the machine that had the name before says nothing of this one. */
const NOTHING_KNOWN: Partial<NodeRow> = {
  effective_units: null,
  version: null,
  reported_at: null,
  unhealthy_reason: null,
  health_since: null,
  probe: {},
  canary: null,
  down_since: null,
  down_reason: null,
  connection_fault: null,
  esl_networks: null,
};

interface Entering {
  name: string;
  secretHash: string;
  address: NodeAddress;
  before: NodeRow | undefined;
  isByJoinToken: boolean;
}

/** Gives it its row, or that of the machine that had the name before; never that one's password. */
async function enter(deps: AdmissionDeps, trx: Trx, emit: Emit, o: Entering): Promise<NodeRow | undefined> {
  const { name, address, before } = o;
  await requireOwnPlace(deps, trx, { name, address });
  const waits = deps.approval === 'always' || (deps.approval === 'join_token' && o.isByJoinToken);
  const state = waits ? ('pending' as const) : ('joining' as const);
  const id = before?.id ?? createId();
  const own = {
    state,
    secret_hash: o.secretHash,
    esl_password_sealed: makeNodePassword(deps.secretKey, id),
    esl_core_uuid: null,
    asking_core_uuid: null,
    ...addressColumns(address),
  };
  // Whatever the old machine had is gone: that its process is another's now is seen by its core, which nobody can name.
  const row = before
    ? await updateNode(trx, id, ['down', 'pending'], {
        ...own,
        ...NOTHING_KNOWN,
        core_uuid: before.core_uuid === null ? null : 'gone',
      })
    : await insertNode(trx, { id, name, ...own });
  if (!row) return findNodeByName(trx, name);
  emit({ stream: POOL_STREAM, type: `node.${state}`, nodeId: row.id, data: { name, host: address.host } });
  deps.logger.info({ node: name, host: address.host, state }, 'a new node enters the pool');
  return row;
}

function addressChanged(row: NodeRow, address: NodeAddress): boolean {
  return Object.entries(addressColumns(address)).some(
    ([column, value]) => String(row[column as keyof NodeRow] ?? '') !== String(value ?? ''),
  );
}

/**
 * Two nodes that are up are never at one place: one that says so means to be taken for the other. A node that is down holds
 * no place, since a machine made again under another name comes where the old one was.
 * @throws conflict
 */
async function requireOwnPlace(
  deps: AdmissionDeps,
  trx: Trx,
  o: { name: string; address: NodeAddress },
): Promise<void> {
  const { host, eslPort, sipPort, internodePort } = o.address;
  const mixed = await refuseMixed(trx, { notName: o.name, host });
  if (mixed) {
    explain(deps, o.name, o.address, mixed);
    throw new SwitchyardError('conflict', mixed);
  }
  const there = await findNodeAtPorts(trx, { notName: o.name, host, ports: [eslPort, sipPort, internodePort] });
  if (!there) return;
  explain(deps, o.name, o.address, `the node "${there}" is at one of its ports`);
  throw new SwitchyardError(
    'conflict',
    `Another node is at ${host} with one of the ports ${eslPort}, ${sipPort}, ${internodePort}: use other ports for this one, or stop the other one and wait until it is down.`,
  );
}

/**
 * We connect to a node's host and Event Socket. So one that is up keeps them, or is where its question comes from: else one
 * that is broken into sends us wherever it likes.
 */
function mayMove(known: NodeRow, address: NodeAddress, from: string | undefined): boolean {
  if (known.host === address.host && known.esl_port === address.eslPort) return true;
  const isUp = known.state === 'serving' || known.state === 'draining';
  return !isUp || address.host === from;
}

async function moveNode(
  deps: AdmissionDeps,
  known: NodeRow,
  address: NodeAddress,
  from: string | undefined,
): Promise<NodeRow | undefined> {
  requireAddress(deps, address);
  if (!mayMove(known, address, from)) {
    explain(deps, known.name, address, `it is ${known.state} at another place, and did not ask from the new one`);
    throw new SwitchyardError(
      'conflict',
      `The node "${known.name}" is ${known.state} at ${known.host} with Event Socket port ${known.esl_port}: to move it, stop it and wait until it is down, or send the request from ${address.host} itself.`,
    );
  }
  return deps.log.record(async (trx, emit) => {
    await requireOwnPlace(deps, trx, { name: known.name, address });
    const row = await updateNode(trx, known.id, [known.state], addressColumns(address));
    if (row)
      emit({ stream: POOL_STREAM, type: 'node.moved', nodeId: row.id, data: { name: row.name, host: row.host } });
    return row;
  });
}
