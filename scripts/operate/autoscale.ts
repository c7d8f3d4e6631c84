/** Keeps the pool at its target by itself: decides by a pure rule, says each decision, and takes nodes away by drain only. */
import { setTimeout as sleep } from 'node:timers/promises';
import { orderByEmptiness } from '../../src/domains/nodes/pool/scaling-advice';
import { addNodes, drainNode, removeNode, resumeNode, type Operator } from './change';
import { isEmpty, readPool, type PoolAnswer } from './pool-api';

/** Looks in a row that must all say "shrink": one quiet moment is no reason to drain. */
export const QUIET_LOOKS = 3;

export interface ScalingState {
  /** Milliseconds since 1970 of the last node added or drained. */
  changedAtMs: number | null;
  quietLooks: number;
}

export type ScalingStep =
  | { do: 'remove'; node: string; why: string }
  | { do: 'resume'; node: string; why: string }
  | { do: 'add'; count: number; why: string }
  | { do: 'drain'; node: string; why: string }
  | { do: 'keep'; why: string };

export interface ScalingView {
  pool: PoolAnswer;
  /** Names of the nodes we can stop, and of those among them that are on their way out. */
  ours: readonly string[];
  leaving: readonly string[];
}

/** One step at a time. @param nowMs milliseconds since 1970 */
export function decideScaling(
  view: ScalingView,
  state: ScalingState,
  o: { minNodes: number; cooldownMs: number },
  nowMs: number,
): ScalingStep {
  const { nodes, recommendation: r } = view.pool;
  const leaving = nodes.filter((node) => view.leaving.includes(node.name));
  const empty = leaving.find((node) => node.state !== 'serving' && isEmpty(node, nowMs));
  const coolingMs = state.changedAtMs === null ? 0 : state.changedAtMs + o.cooldownMs - nowMs;
  const cooling = `cooling down for ${Math.ceil(coolingMs / 1000)} s more`;
  const joining = nodes.filter((node) => node.state === 'joining').length;
  if (r.action === 'grow') {
    const tooFew = r.servingNodes + joining < o.minNodes;
    const back = leaving.find((node) => node.state === 'draining');
    // A node that still runs is back at once, and costs nothing.
    if (back) return { do: 'resume', node: back.name, why: r.why };
    if (joining > 0 && !tooFew) return { do: 'keep', why: `${r.why} ${joining} are joining.` };
    if (coolingMs > 0 && !tooFew) return { do: 'keep', why: `${r.why} It would add ${r.count}; ${cooling}.` };
    return { do: 'add', count: Math.max(1, r.count - joining), why: r.why };
  }
  if (empty) return { do: 'remove', node: empty.name, why: 'It is drained and empty.' };
  if (r.action === 'keep') return { do: 'keep', why: r.why };
  if (state.quietLooks + 1 < QUIET_LOOKS)
    return { do: 'keep', why: `${r.why} Quiet for ${state.quietLooks + 1} of ${QUIET_LOOKS} looks.` };
  if (coolingMs > 0) return { do: 'keep', why: `${r.why} It would take one away; ${cooling}.` };
  const candidates = nodes.filter((node) => node.state === 'serving' && view.ours.includes(node.name));
  const [emptiest] = orderByEmptiness(candidates);
  if (!emptiest) return { do: 'keep', why: `${r.why} None of the nodes was started by this command.` };
  return { do: 'drain', node: emptiest.name, why: r.why };
}

/** What is remembered of a look for the next one. */
export function nextState(state: ScalingState, pool: PoolAnswer, step: ScalingStep, nowMs: number): ScalingState {
  const changed = step.do === 'add' || step.do === 'drain' || step.do === 'resume';
  const quiet = pool.recommendation.action === 'shrink' && !changed;
  return {
    changedAtMs: changed ? nowMs : state.changedAtMs,
    quietLooks: quiet ? state.quietLooks + 1 : 0,
  };
}

/** Looks, decides, acts and waits, until it is interrupted; a look that fails is said and tried again. */
export async function autoscale(o: Operator, once: boolean): Promise<void> {
  const { options, kept } = o.context;
  const { targetPercent, minNodes, maxNodes, cooldownSeconds, intervalSeconds } = options;
  const query = `?target=${targetPercent}&min=${minNodes}&max=${maxNodes}`;
  let state: ScalingState = { changedAtMs: null, quietLooks: 0 };
  while (!o.interrupted.aborted) {
    try {
      const pool = await readPool(o.switchyard, query);
      const ours = kept.list();
      const view: ScalingView = {
        pool,
        ours: ours.map((node) => node.name),
        leaving: ours.filter((node) => node.leaving).map((node) => node.name),
      };
      const nowMs = Date.now();
      const step = decideScaling(view, state, { minNodes, cooldownMs: cooldownSeconds * 1000 }, nowMs);
      const subject = 'node' in step ? ` ${step.node}` : step.do === 'add' ? ` ${step.count}` : '';
      o.say(`${new Date(nowMs).toTimeString().slice(0, 8)} ${step.do}${subject}: ${step.why}`);
      state = nextState(state, pool, step, nowMs);
      await take(o, step, pool);
    } catch (fault) {
      if (o.interrupted.aborted) break;
      o.say(`Failed, will retry: ${(fault as Error).message}`);
    }
    if (once) break;
    await sleep(intervalSeconds * 1000, undefined, { signal: o.interrupted }).catch(() => undefined);
  }
  const leaving = kept.list().filter((node) => node.leaving);
  if (leaving.length)
    o.say(`Left draining: ${leaving.map((n) => n.name).join(', ')}. The next run continues with them.`);
}

async function take(o: Operator, step: ScalingStep, pool: PoolAnswer): Promise<void> {
  if (step.do === 'keep') return;
  if (step.do === 'add') return void (await addNodes(o, step.count));
  if (step.do === 'remove') return removeNode(o, step.node, true);
  const node = pool.nodes.find((n) => n.name === step.node)!;
  if (step.do === 'drain') return drainNode(o, node, o.context.options.deadlineSeconds, true);
  return resumeNode(o, node);
}
