/** Answers "what if" by the same rule that places calls, played over a copy of the pool: pure, and the same each time. */
import type { Feature } from '../features/features';
import { EFFECTIVE_CAPACITY, LIMITS } from '../limits';
import { selectNode } from '../selection/select-node';
import type { NodeView, PolicyName } from '../selection/policies';
import { AUDIO_CALL_UNITS } from '../capacity/units';

/** A node and what is on it now. */
export interface PlayedNode {
  view: NodeView;
  liveCalls: number;
  rooms: number;
  roomUnits: number;
}

export interface WhatIf {
  /** Ids of nodes that are taken away; what is on them has to go elsewhere. */
  remove: readonly string[];
  /** Further nodes, each as large as `addedUnits`. */
  add: number;
  addedUnits: number;
  calls: number;
  rooms: number;
  unitsPerRoom: number;
  policy: PolicyName;
  reportLimitMs: number;
  minIdleCpuPercent: number;
}

export interface Placed {
  asked: number;
  placed: number;
  notPlaced: number;
}

export interface PlayedOut {
  nodes: {
    node: string;
    change: 'none' | 'removed' | 'added';
    calls: number;
    rooms: number;
    unitsBefore: number;
    unitsAfter: number;
    capacityUnits: number;
  }[];
  movedCalls: Placed;
  movedRooms: Placed;
  calls: Placed;
  rooms: Placed;
  utilisationPercent: { before: number | null; after: number | null };
  explanation: string[];
}

/** Choices made at most for one kind of thing; more of it is placed several at a time, which changes little. */
const MOST_CHOICES = 400;

interface Tally {
  calls: number;
  rooms: number;
}

const round = (value: number): number => Math.round(value * 100) / 100;
const sumOf = <T>(list: readonly T[], read: (one: T) => number): number =>
  list.reduce((sum, one) => sum + read(one), 0);

/** @param nowMs milliseconds since 1970 @param random answers in [0, 1); seed it for an answer that can be repeated */
export function runWhatIf(pool: readonly PlayedNode[], o: WhatIf, nowMs: number, random: () => number): PlayedOut {
  const gone = pool.filter((n) => o.remove.includes(n.view.id));
  const added = Array.from({ length: o.add }, (_, i): NodeView => addedNode(i, o.addedUnits, nowMs));
  const left = pool.filter((n) => !gone.includes(n)).map((n) => ({ ...n.view }));
  const views = [...left, ...added];
  const tally = new Map<string, Tally>(views.map((v) => [v.id, { calls: 0, rooms: 0 }]));
  const place = (kind: keyof Tally, count: number, units: number): Placed =>
    placeMany(views, tally, kind, count, units, o, nowMs, random);

  const goneRooms = sumOf(gone, (n) => n.rooms);
  const goneCalls = sumOf(gone, (n) => n.liveCalls);
  const goneRoomUnits = sumOf(gone, (n) => n.roomUnits);
  const goneCallUnits = Math.max(0, sumOf(gone, (n) => n.view.claimedUnits) - goneRoomUnits);
  // Rooms first, since they are larger and harder to fit.
  const movedRooms = place('rooms', goneRooms, goneRooms ? goneRoomUnits / goneRooms : 0);
  const movedCalls = place('calls', goneCalls, goneCalls ? goneCallUnits / goneCalls || AUDIO_CALL_UNITS : 0);
  const rooms = place('rooms', o.rooms, o.unitsPerRoom);
  const calls = place('calls', o.calls, AUDIO_CALL_UNITS);

  const before = new Map(pool.map((n) => [n.view.id, n.view]));
  const shown = [...pool.map((n) => n.view), ...added].map((view): PlayedOut['nodes'][number] => {
    const after = views.find((v) => v.id === view.id);
    return {
      node: view.name,
      change: !after ? 'removed' : before.has(view.id) ? 'none' : 'added',
      calls: tally.get(view.id)?.calls ?? 0,
      rooms: tally.get(view.id)?.rooms ?? 0,
      unitsBefore: round(before.get(view.id)?.claimedUnits ?? 0),
      unitsAfter: round(after?.claimedUnits ?? 0),
      capacityUnits: round(view.capacityUnits),
    };
  });
  const utilisationPercent = { before: used(pool.map((n) => n.view)), after: used(views) };
  const played = { movedCalls, movedRooms, calls, rooms, utilisationPercent };
  return { nodes: shown, ...played, explanation: explain(gone, o, played) };
}

function addedNode(index: number, capacityUnits: number, nowMs: number): NodeView {
  return {
    id: `added-${index + 1}`,
    name: `(new ${index + 1})`,
    state: 'serving',
    zone: '',
    capacityUnits,
    claimedUnits: 0,
    sessionCount: 0,
    maxSessions: 1000,
    idleCpuPercent: 100,
    reportedAtMs: nowMs,
  };
}

const NEEDS: Record<keyof Tally, Feature[]> = { calls: ['calls'], rooms: ['calls', 'rooms'] };

/** Several at once where there are many; a handful that doesn't fit is tried again one by one. */
function placeMany(
  views: NodeView[],
  tally: Map<string, Tally>,
  kind: keyof Tally,
  asked: number,
  units: number,
  o: WhatIf,
  nowMs: number,
  random: () => number,
): Placed {
  const request = { policy: o.policy, reportLimitMs: o.reportLimitMs, minIdleCpuPercent: o.minIdleCpuPercent };
  let handful = Math.max(1, Math.ceil(asked / MOST_CHOICES));
  let placed = 0;
  while (placed < asked) {
    const count = Math.min(handful, asked - placed);
    const wanted = { ...request, units: units * count, registeredNodeIds: [], excludedNodeIds: [], needs: NEEDS[kind] };
    const { nodeId } = selectNode(views, wanted, nowMs, random);
    const view = views.find((v) => v.id === nodeId);
    if (!view) {
      if (count === 1) break;
      handful = Math.ceil(count / 4);
      continue;
    }
    view.claimedUnits += units * count;
    if (kind === 'calls') view.sessionCount += LIMITS.sessionsPerCall * count;
    const busyPercent = (100 * EFFECTIVE_CAPACITY.fullCpuShare * units * count) / view.capacityUnits;
    view.idleCpuPercent = Math.max(0, view.idleCpuPercent - busyPercent);
    tally.get(view.id)![kind] += count;
    placed += count;
  }
  return { asked, placed, notPlaced: asked - placed };
}

function used(views: readonly NodeView[]): number | null {
  const serving = views.filter((v) => v.state === 'serving');
  const capacity = sumOf(serving, (v) => v.capacityUnits);
  return capacity === 0 ? null : Math.round((1000 * sumOf(serving, (v) => v.claimedUnits)) / capacity) / 10;
}

type Played = Pick<PlayedOut, 'movedCalls' | 'movedRooms' | 'calls' | 'rooms' | 'utilisationPercent'>;

function explain(gone: readonly PlayedNode[], o: WhatIf, played: Played): string[] {
  const say = (one: string, what: string, p: Placed): string[] => {
    if (p.asked === 0) return [];
    const missing = p.notPlaced === 0 ? 'all fit' : `${p.notPlaced} would not fit`;
    return [
      p.asked === 1 ? `1 ${one}: ${p.placed ? 'it fits' : 'it would not fit'}.` : `${p.asked} ${what}: ${missing}.`,
    ];
  };
  const { before, after } = played.utilisationPercent;
  return [
    ...(gone.length ? [`Without ${gone.map((n) => n.view.name).join(', ')}.`] : []),
    ...(o.add ? [`With ${o.add} more of ${o.addedUnits} units each.`] : []),
    ...say('room that would have to move', 'rooms that would have to move', played.movedRooms),
    ...say('call that would have to move', 'calls that would have to move', played.movedCalls),
    ...say('further room', 'further rooms', played.rooms),
    ...say('further call', 'further calls', played.calls),
    `Claimed: ${before ?? '–'} % now, ${after ?? '–'} % then.`,
  ];
}
