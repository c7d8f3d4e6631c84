/** Says whether a pool should grow, shrink or stay, and why: pure, so that an operator and the autoscaler hear the same. */
import { SCALING } from '../limits';
import type { NodeState } from '../nodes.store';

/** What counts of a node when the size of the pool is judged. */
export interface PoolMember {
  name: string;
  state: NodeState;
  /** Its last report is too old. */
  silent: boolean;
  /** Left out: it is well. One that is not gets no calls either. */
  health?: { healthy: boolean };
  /** null while Redis is away. */
  claimedUnits: number | null;
  effectiveUnits: number;
  liveCalls: number;
  liveLegs: number;
  rooms: number;
  registrations: number;
}

export interface ScalingGoal {
  targetPercent: number;
  minNodes: number;
  /** null: as many as it takes. */
  maxNodes: number | null;
}

export interface ScalingAdvice {
  action: 'grow' | 'shrink' | 'keep';
  /** How many nodes to add or to drain; 0 with keep. */
  count: number;
  /** With shrink: which, the emptiest first. */
  nodes: string[];
  why: string;
  /** Claimed share of the effective capacity of serving nodes; null where it is not known. */
  utilisationPercent: number | null;
  servingNodes: number;
}

/** The emptiest first: rooms weigh most, since they are hardest to move, then calls, then what is claimed, then phones. */
export function orderByEmptiness<T extends PoolMember>(members: readonly T[]): T[] {
  const share = (m: T): number => (m.claimedUnits ?? 0) / m.effectiveUnits;
  const calls = (m: T): number => Math.max(m.liveCalls, m.liveLegs);
  return [...members].sort(
    (a, b) =>
      a.rooms - b.rooms ||
      calls(a) - calls(b) ||
      share(a) - share(b) ||
      a.registrations - b.registrations ||
      b.name.localeCompare(a.name, 'en', { numeric: true }),
  );
}

const percent = (claimed: number, capacity: number): number => Math.round((1000 * claimed) / capacity) / 10;
const nodes = (count: number): string => (count === 1 ? 'one node' : `${count} nodes`);

export function adviseScaling(members: readonly PoolMember[], goal: ScalingGoal): ScalingAdvice {
  const serving = members.filter((m) => m.state === 'serving' && !m.silent && m.health?.healthy !== false);
  const capacity = serving.reduce((sum, m) => sum + m.effectiveUnits, 0);
  const claimed = serving.some((m) => m.claimedUnits === null)
    ? null
    : serving.reduce((sum, m) => sum + (m.claimedUnits ?? 0), 0);
  const utilisationPercent = claimed === null || capacity === 0 ? null : percent(claimed, capacity);
  const answer = (action: ScalingAdvice['action'], why: string, count = 0, names: string[] = []): ScalingAdvice => ({
    action,
    count,
    nodes: names,
    why,
    utilisationPercent,
    servingNodes: serving.length,
  });

  const room = goal.maxNodes === null ? Infinity : goal.maxNodes - serving.length;
  if (serving.length < goal.minNodes) {
    const count = goal.minNodes - serving.length;
    return answer('grow', `${nodes(serving.length)} of at least ${goal.minNodes} can take calls.`, count);
  }
  if (goal.maxNodes !== null && serving.length > goal.maxNodes) {
    const names = orderByEmptiness(serving).slice(0, serving.length - goal.maxNodes);
    const why = `${nodes(serving.length)} serve, and ${goal.maxNodes} are allowed.`;
    return answer(
      'shrink',
      why,
      names.length,
      names.map((m) => m.name),
    );
  }
  if (claimed === null) return answer('keep', 'What is claimed can not be read now: Redis is away.');
  if (utilisationPercent === null) return answer('keep', 'No node serves, and none is asked for.');
  const { bandPercent, mostAtOnce } = SCALING;
  const used = `${utilisationPercent} % of ${round(capacity)} units are claimed`;
  if (utilisationPercent > goal.targetPercent + bandPercent) {
    if (room <= 0) return answer('keep', `${used}, and the pool is at its maximum of ${nodes(goal.maxNodes!)}.`);
    const each = capacity / serving.length;
    const needed = Math.ceil((100 * claimed) / goal.targetPercent / each) - serving.length;
    const count = Math.min(room, mostAtOnce, Math.max(1, needed));
    return answer('grow', `${used}, more than ${goal.targetPercent} + ${bandPercent} %.`, count);
  }
  return shrinkOrKeep(serving, claimed, capacity, goal, used, answer);
}

const round = (value: number): number => Math.round(value * 10) / 10;

function shrinkOrKeep(
  serving: readonly PoolMember[],
  claimed: number,
  capacity: number,
  goal: ScalingGoal,
  used: string,
  answer: (action: ScalingAdvice['action'], why: string, count?: number, names?: string[]) => ScalingAdvice,
): ScalingAdvice {
  const { bandPercent, mostAtOnce } = SCALING;
  const floor = goal.targetPercent - bandPercent;
  const left: PoolMember[] = [];
  let rest = capacity;
  for (const member of orderByEmptiness(serving)) {
    if (left.length >= mostAtOnce || serving.length - left.length <= Math.max(1, goal.minNodes)) break;
    if (percent(claimed, rest - member.effectiveUnits) > floor) break;
    left.push(member);
    rest -= member.effectiveUnits;
  }
  if (left.length === 0) {
    if (serving.length <= goal.minNodes)
      return answer('keep', `${used}, and ${nodes(goal.minNodes)} must always serve.`);
    return answer(
      'keep',
      `${used}: near enough to ${goal.targetPercent} %, since one node fewer would be above ${floor} %.`,
    );
  }
  const why = `${used}; without ${nodes(left.length)} it would be ${percent(claimed, rest)} %, still no more than ${goal.targetPercent} − ${bandPercent} %.`;
  return answer(
    'shrink',
    why,
    left.length,
    left.map((m) => m.name),
  );
}
