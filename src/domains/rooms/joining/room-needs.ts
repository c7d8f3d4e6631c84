/** Which node a room goes to: one that can record and relay it where that is desired, before one that can't. */
import { reserveNode, type ReserveDeps, type ReserveRequest } from '../../nodes/selection/reserve-node';
import { FEATURE_NAMES, recordingFeature, type Feature } from '../../nodes/features/features';
import { noNodeHas } from '../../nodes/features/require-feature';
import type { Choice, Rejection } from '../../nodes/selection/select-node';
import type { NodeRow } from '../../nodes/nodes.store';
import type { RoomRow } from '../rooms.store';
import { readRoomNeeds } from './room-needs.store';

/** Without these there is no room. */
const BASE: readonly Feature[] = ['calls', 'rooms'];

/** What is desired as well: of the room, its recordings and its relays. */
export function decideNeeds(
  recordsFromStart: boolean,
  desiredChanges: { formats: readonly ('mp4' | 'wav')[]; hasRelays: boolean },
): Feature[] {
  const desired = new Set<Feature>([
    ...BASE,
    ...(recordsFromStart ? [recordingFeature('mp4')] : []),
    ...desiredChanges.formats.map(recordingFeature),
    ...(desiredChanges.hasRelays ? (['relays'] as const) : []),
  ]);
  return FEATURE_NAMES.filter((feature) => desired.has(feature));
}

/** A node that could is there, and has no room now: waiting for it helps. */
const IS_FULL: ReadonlySet<Rejection | null> = new Set<Rejection>([
  'full',
  'max_sessions',
  'busy_cpu',
  'claim_refused',
]);

/**
 * Of several units the first that a node has room for. Where no node has all that is desired, people meet all the
 * same, and what can't be done is told; where one that has it is only full, a room that nobody is in waits for it.
 * @returns no node where the pool is full @throws feature_missing where no node that serves can carry a room at all
 */
export async function holdRoomNode(
  deps: ReserveDeps,
  room: RoomRow,
  request: Omit<ReserveRequest, 'units' | 'needs'>,
  o: { wanted: readonly [number, ...number[]]; isLive: boolean },
): Promise<{ node: NodeRow | undefined; units: number }> {
  const needs = decideNeeds(room.settings.record === true, await readRoomNeeds(deps.db, room.id));
  const rounds = needs.length > BASE.length ? [needs, BASE] : [BASE];
  let last: Choice | undefined;
  for (const round of rounds) {
    for (const units of o.wanted) {
      const { node, choice } = await reserveNode(deps, { ...request, units, needs: round });
      if (node) return { node, units };
      last = choice;
    }
    if (!o.isLive && last?.considered.some(({ rejected }) => IS_FULL.has(rejected))) break;
  }
  const lacking = last?.considered.filter(({ rejected }) => rejected === 'lacks_module') ?? [];
  const isOnlyFull = last?.considered.some(({ rejected }) => IS_FULL.has(rejected)) ?? false;
  if (lacking.length > 0 && !isOnlyFull)
    throw noNodeHas(lacking.map(({ node, lacks }) => ({ name: node, lacks: lacks! })));
  return { node: undefined, units: o.wanted[0] };
}
