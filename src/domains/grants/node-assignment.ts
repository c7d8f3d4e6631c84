/** Says where the holder of a grant has to go now: to the node of the room, or to the best one for a user's phone. */
import { SwitchyardError } from '../../errors';
import type { Db } from '../../infra/stores/db';
import { storeClock } from '../../infra/store-clock';
import { findNode, signalUrl, type NodeRow } from '../nodes/nodes.store';
import { selectNode } from '../nodes/selection/select-node';
import type { PoolSnapshots } from '../nodes/pool/pool-snapshot';
import { findRoom, type RoomRow } from '../rooms/rooms.store';
import { COME_BACK_SECONDS } from './lasting/come-back.store';
import { iceServersFor, type IceServer, type IceSettings } from './ice';
import type { GrantRow } from './grants.store';

export interface LocationDeps {
  db: Db;
  /** The room's living session or a new one, and its node. @throws no_capacity */
  openSession: (
    room: RoomRow,
    o: { preferNodeIds: readonly string[]; excludedNodeIds: readonly string[] },
  ) => Promise<{ node: NodeRow }>;
  /** The best node for a phone that registers. @throws no_capacity */
  pickForPhone: () => Promise<NodeRow>;
  ice: IceSettings;
}

/** What a browser needs to signal; nothing in it proves anything. */
export interface Location {
  node: string;
  wssUrl: string;
  /** What to dial; null for a user's phone, which dials what it likes. */
  target: string | null;
  iceServers: IceServer[];
}

/** What a grant for a room dials: the node knows the room from the grant, so one grant opens one room only. */
const ROOM_TARGET = 'room';

/** @returns the node, beside what the browser is told */
export async function locateGrant(
  deps: LocationDeps,
  grant: Pick<GrantRow, 'id' | 'room_id' | 'node_id' | 'expires_at'> & { domain_name: string },
): Promise<{ node: NodeRow; location: Location }> {
  const node = grant.room_id === null ? await locatePhone(deps, grant.node_id) : await locateRoom(deps, grant.room_id);
  return {
    node,
    location: {
      node: node.name,
      wssUrl: signalUrl(node),
      target: grant.room_id === null ? null : `sip:${ROOM_TARGET}@${grant.domain_name}`,
      iceServers: iceServersFor(deps.ice, grant.id, endOfRelay(grant.expires_at)),
    },
  };
}

/** Who comes back by a grant that has expired needs a relay for as long as that takes. */
const endOfRelay = (expiresAt: Date): Date =>
  new Date(Math.max(expiresAt.getTime(), storeClock.nowMs() + COME_BACK_SECONDS * 1000));

async function locateRoom(deps: LocationDeps, roomId: string): Promise<NodeRow> {
  const room = await findRoom(deps.db, roomId);
  if (!room) throw new SwitchyardError('gone', 'The room was deleted.');
  return (await deps.openSession(room, { preferNodeIds: [], excludedNodeIds: [] })).node;
}

/** A phone stays where it was sent before, while that node serves: it need not register again. */
async function locatePhone(deps: LocationDeps, nodeId: string | null): Promise<NodeRow> {
  const before = nodeId === null ? undefined : await findNode(deps.db, nodeId);
  return before?.state === 'serving' ? before : deps.pickForPhone();
}

export interface PhonePickDeps {
  db: Db;
  pool: Pick<PoolSnapshots, 'readExactly'>;
  /** Milliseconds after which a node's last report says nothing. */
  reportLimitMs: number;
  minIdleCpuPercent: number;
  random: () => number;
}

/** @returns a `pickForPhone`: a registration takes no capacity, so nothing is claimed. */
export function createPhonePick(deps: PhonePickDeps): () => Promise<NodeRow> {
  return async () => {
    const views = await deps.pool.readExactly();
    const { reportLimitMs, minIdleCpuPercent } = deps;
    const limits = { reportLimitMs, minIdleCpuPercent };
    const request = { units: 0, registeredNodeIds: [], excludedNodeIds: [], needs: ['calls' as const], ...limits };
    const choice = selectNode(views, request, storeClock.nowMs(), deps.random);
    const node = choice.nodeId === null ? undefined : await findNode(deps.db, choice.nodeId);
    if (!node) throw new SwitchyardError('no_capacity', 'No media node is serving with room for another phone.');
    return node;
  };
}
