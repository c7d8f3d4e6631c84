/** A node drains itself before it is stopped, with nothing but its own password: itself only, and no operator is overruled. */
import { z } from 'zod';
import { SwitchyardError } from '../../../errors';
import type { Db } from '../../../infra/stores/db';
import { changeNodeState, type NodeDeps } from '../nodes';
import { findNode, type NodeRow } from '../nodes.store';
import { DRAINING_EXPIRES_SECONDS } from './phones';
import { countNodeWork, type NodeWork } from './own-drain.store';

export type OwnDrainDeps = Pick<NodeDeps, 'log' | 'logger'> & { db: Db; now: () => number };

/** What a node is told of itself. */
export interface OwnState extends NodeWork {
  name: string;
  state: NodeRow['state'];
  /** It drains because it asked to; false where an operator did. */
  drainedItself: boolean;
  /** By its own last report. */
  sessions: number;
  /** Nothing would be lost if it were stopped now. A call that was just being placed is seen by a second look. */
  isEmpty: boolean;
}

export const drainSchema = z.strictObject({ deadlineSeconds: z.number().int().min(0).max(86_400) });

/** Twice as long as a phone registers for at a draining node. */
export const PHONES_GRACE_MS = 2000 * DRAINING_EXPIRES_SECONDS;

/**
 * A node that is down reports nothing any more: its last report does not count. Phones are waited for until the deadline
 * of the drain, when the last room goes, and as long as it then takes them to hear of it: who has not moved by then knows
 * no other node, or is gone.
 */
const isEmptied = (
  work: NodeWork,
  node: Pick<NodeRow, 'state' | 'session_count' | 'drain_deadline_at'>,
  nowMs: number,
): boolean =>
  work.liveCalls + work.liveLegs + work.rooms + work.filesToSend === 0 &&
  (node.state === 'down' ||
    (node.session_count === 0 &&
      (work.phones === 0 || nowMs >= (node.drain_deadline_at?.getTime() ?? 0) + PHONES_GRACE_MS)));

export async function readOwnState(deps: OwnDrainDeps, id: string): Promise<OwnState> {
  const node = await findNode(deps.db, id);
  if (!node) throw new SwitchyardError('unauthorized', 'Unknown node.');
  const work = await countNodeWork(deps.db, id);
  return {
    name: node.name,
    state: node.state,
    drainedItself: node.drained_itself,
    sessions: node.session_count,
    ...work,
    isEmpty: isEmptied(work, node, deps.now()),
  };
}

/** Takes no new calls from now on. One that drains already goes on as it was told, by whomever. */
export async function drainItself(
  deps: OwnDrainDeps,
  id: string,
  { deadlineSeconds }: z.output<typeof drainSchema>,
): Promise<OwnState> {
  const deadline = new Date(deps.now() + deadlineSeconds * 1000);
  await changeNodeState(
    deps,
    id,
    ['serving', 'joining'],
    { state: 'draining', drain_deadline_at: deadline, drained_itself: true, keeps_phones: false },
    { deadlineAt: deadline.toISOString(), by: 'itself' },
  );
  return readOwnState(deps, id);
}

/** Takes calls again, where it was the one that wanted none. @throws conflict where an operator drained it */
export async function resumeItself(deps: OwnDrainDeps, id: string): Promise<OwnState> {
  const before = await readOwnState(deps, id);
  if (before.state !== 'draining') return before;
  const change = { state: 'serving' as const, drain_deadline_at: null, drained_itself: false, keeps_phones: false };
  const row = await changeNodeState(deps, id, ['draining'], change, { by: 'itself' }, { drained_itself: true });
  if (!row && (await findNode(deps.db, id))?.state === 'draining')
    throw new SwitchyardError('conflict', 'An operator drained this node: only an operator can resume it.');
  return readOwnState(deps, id);
}
