/** Makes sure that no phone rings for an attempt whose node died, before the next attempt rings it again. */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  hangUpMatching,
  hangupLegs,
  parseChannels,
  readVariable,
  showChannels,
  type ApiCommand,
  type Reply,
} from '../../../freeswitch/esl';
import { ATTEMPT_VARIABLE, CALL_HEADER_VARIABLE } from '../../../freeswitch/xml';
import { isId } from '../../../infra/ids';
import { storeClock } from '../../../infra/store-clock';
import { findNode } from '../../nodes/nodes.store';
import { findUserIds, listNodeIdsOfUsers } from '../../registrations/registrations.store';
import { parseAddress } from '../address';
import { markOf } from './forked-legs';
import { listLegs, type AttemptRow, type CallRow } from '../calls.store';
import type { CallEndDeps } from '../events/move-calls';

/**
 * A node that can't be told for so long is not waited for: a second ring beside a first one is better than none. Most
 * nodes that stop answering for a moment are back by then, or are down and reached by no call.
 */
const LIMIT_MS = 15_000;
/** What a round has not told or seen by then is done by the next one. */
const ROUND_MS = 1000;
const CAUSE = 'NORMAL_TEMPORARY_FAILURE';
/** A channel takes this long to be gone, and one whose plan was on its way when the node was told, to be seen. */
const LOOK_AFTER_MS = 200;

/** Where a leg of the attempt may be: where one is known, and where the phones are that it may have reached unseen. */
async function listNodeIds(deps: CallEndDeps, call: CallRow, attempt: AttemptRow): Promise<string[]> {
  const legs = await listLegs(deps.db, [call.id]);
  const ids = new Set(legs.flatMap((leg) => (leg.node_id ? [leg.node_id] : [])));
  for (const text of [call.from_address, call.to_address]) {
    const address = parseAddress(text);
    if (address.kind !== 'user') continue;
    const user = await findUserIds(deps.db, address.username, call.domain_name);
    if (user) for (const id of await listNodeIdsOfUsers(deps.db, [user.id])) ids.add(id);
  }
  if (attempt.node_id) ids.delete(attempt.node_id); // its process is gone, and its legs with it
  return [...ids];
}

/**
 * Tells the node, and looks whether it has done it: `+OK` is no proof.
 * @returns whether nothing of the attempt is on that node: it has none in its list, its process is gone, or it left
 */
async function cancelStaleRingingOn(
  deps: CallEndDeps,
  nodeId: string,
  attempt: AttemptRow,
  signal: AbortSignal,
): Promise<boolean> {
  // The next attempt may have begun when a late answer comes: it must not be what is ended.
  const ask = (command: ApiCommand): Promise<Reply> => {
    signal.throwIfAborted();
    return deps.links.api(nodeId, command);
  };
  try {
    const node = await findNode(deps.db, nodeId);
    if (!node || (node.state === 'down' && node.down_reason === 'refused')) return true;
    await ask(hangUpMatching(ATTEMPT_VARIABLE, markOf(attempt), CAUSE));
    await sleep(LOOK_AFTER_MS);
    const list = await ask(showChannels());
    if (!list.ok) return false;
    let silent = true;
    for (const channel of parseChannels(list.text)) {
      // A channel that rings stands in the list without its call.
      if (channel.callId && channel.callId !== attempt.call_id) continue;
      if (!(await belongsTo(ask, channel.legId, attempt))) continue;
      silent = false;
      await hangupLegs(
        { links: { api: (_nodeId, command) => ask(command) } },
        [{ nodeId, legId: channel.legId }],
        CAUSE,
      );
    }
    return silent;
  } catch {
    return false;
  }
}

/** One that another node has handed over and whose plan is still on its way has only what came with its INVITE. */
async function belongsTo(
  ask: (command: ApiCommand) => Promise<Reply>,
  legId: string,
  attempt: AttemptRow,
): Promise<boolean> {
  const named = (await ask(readVariable(legId, ATTEMPT_VARIABLE))).text.trim();
  if (isId(named)) return named === markOf(attempt);
  return (await ask(readVariable(legId, CALL_HEADER_VARIABLE))).text.trim() === attempt.call_id;
}

/**
 * Tells every other node that may ring for the attempt to stop, and looks whether they did. A node that died hangs up
 * nothing: a phone that it reached through another node rings on by itself.
 * @returns whether the next attempt may begin: nothing rings any more, or LIMIT_MS have passed since the attempt's end.
 *   Else it is to be asked again soon; no worker waits here for a node that does not answer.
 */
export async function cancelStaleRinging(
  deps: CallEndDeps & { signal: AbortSignal },
  call: CallRow,
  attempt: AttemptRow,
): Promise<boolean> {
  const nodeIds = await listNodeIds(deps, call, attempt);
  const round = AbortSignal.any([deps.signal, AbortSignal.timeout(ROUND_MS)]);
  const asked = Promise.all(nodeIds.map((id) => cancelStaleRingingOn(deps, id, attempt, round)));
  const late = sleep(ROUND_MS, [], { signal: round }).catch((): boolean[] => []);
  const silent = await Promise.race([asked, late]);
  const loud = nodeIds.filter((_, i) => !silent[i]);
  if (loud.length === 0) return true;
  if (storeClock.nowMs() <= (attempt.ended_at ?? storeClock.now()).getTime() + LIMIT_MS) return false;
  deps.logger.warn({ callId: call.id, nodes: loud }, 'a call is tried again, though it may still ring elsewhere');
  return true;
}
