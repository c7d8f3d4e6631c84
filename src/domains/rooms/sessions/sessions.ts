/** Opens, moves and ends the sessions of rooms: one room has one owner, whoever asks and however many ask at once. */
import { SwitchyardError } from '../../../errors';
import { createId } from '../../../infra/ids';
import type { Logger } from '../../../infra/logger';
import type { CountOrphan } from '../../../infra/metrics';
import type { Trx } from '../../../infra/stores/db';
import { storeClock } from '../../../infra/store-clock';
import { hangUpMember } from '../../../freeswitch/esl';
import type { EventLog } from '../../events/events';
import type { EventDraft } from '../../events/events.store';
import type { ReserveDeps } from '../../nodes/selection/reserve-node';
import type { NodeConnections } from '../../nodes/connections/node-connections';
import type { RefuseReport } from '../../nodes/trust/refused-reports';
import { findNode, type NodeRow } from '../../nodes/nodes.store';
import { RESERVED_UNITS } from '../../nodes/capacity/units';
import type { Quotas } from '../../quotas/quotas';
import type { RoomHooksOwner } from './listeners';
import { listParticipants, updateParticipant, type ParticipantRow } from '../participants/participants.store';
import { holdRoomNode } from '../joining/room-needs';
import { draftParticipantEvent, draftSessionEvent } from '../room-events';
import type { RoomRow } from '../rooms.store';
import { sessionUnits, type Weighed } from './session-units';
import {
  clearLease,
  findLivingSession,
  insertSession,
  lockLease,
  lockSession,
  takeLease,
  updateSession,
  type SessionEnd,
  type SessionRow,
} from './sessions.store';

export interface SessionDeps extends ReserveDeps {
  log: EventLog;
  logger: Logger;
  links: Pick<NodeConnections, 'api'>;
  hooks: RoomHooksOwner;
  /** Told of what was found on one side only, and settled. */
  countOrphan?: CountOrphan;
  /** Told of what a node says and is not believed. */
  refuseReport?: RefuseReport;
  quotas: Pick<Quotas, 'spend' | 'check' | 'take'>;
  /** Whether the room is locked from the start. */
  lockedFromStart: (room: RoomRow) => boolean;
}

export type Emit = (draft: EventDraft) => void;

/**
 * How long a session that was opened for somebody waits for them. The sweep ends it within the next seconds, so that
 * one grant holds something for 20 s at most. Who comes later, since a browser asked for a camera, opens it again.
 */
const OPEN_FOR_MS = 15_000;
/** Somebody was on the way in when the last one left: they get this long. */
const ON_THE_WAY_MS = 15_000;
const RACES = 5;

export interface Opened {
  session: SessionRow;
  node: NodeRow;
  isNew: boolean;
}

export interface OpenOptions {
  /** Nodes that would spare a hop: where the one who enters is. */
  preferNodeIds: readonly string[];
  excludedNodeIds: readonly string[];
  /** Somebody stands at the door: what the room takes with them in it is claimed. Left out: one unit is reserved. */
  entering?: Weighed;
}

/** A node that can still be entered. One that drains keeps its rooms open until its deadline. */
export const canBeEntered = (node: NodeRow | undefined): node is NodeRow =>
  node?.state === 'serving' || node?.state === 'draining';

/**
 * The room's living session; where there is none, or its node is dead, a new one on the best node. Two who ask at once
 * get the same session: the lease's row decides.
 * @throws no_capacity where no node can take it now, feature_missing where none could at all
 */
export async function openSession(deps: SessionDeps, room: RoomRow, o: OpenOptions): Promise<Opened> {
  for (let race = 0; race < RACES; race += 1) {
    const living = await findLivingSession(deps.db, room.id);
    const owner = living?.node_id ? await findNode(deps.db, living.node_id) : undefined;
    if (living && canBeEntered(owner) && !o.excludedNodeIds.includes(owner.id)) {
      if (living.state === 'opening') {
        await updateSession(deps.db, living.id, ['opening'], {
          open_until: new Date(storeClock.nowMs() + OPEN_FOR_MS),
        });
      }
      return { session: living, node: owner, isNew: false };
    }
    const placed = await placeSession(deps, room, living, 'node_died', o);
    if (placed) return placed;
  }
  throw new SwitchyardError('conflict', 'The room is moving between nodes. Try again.');
}

/** @returns undefined where somebody else opened it first. */
export async function placeSession(
  deps: SessionDeps,
  room: RoomRow,
  before: SessionRow | undefined,
  reason: 'node_died' | 'moved',
  o: OpenOptions,
): Promise<Opened | undefined> {
  const id = createId();
  const wanted = claimsOf(room, before, o);
  if (!before) {
    await deps.quotas.check(room.domain_id, { units: wanted[0], openingRooms: 1 });
    await deps.quotas.spend(room.domain_id, 'roomsOpenedPerMinute');
  }
  const excludedNodeIds = before?.node_id ? [...o.excludedNodeIds, before.node_id] : o.excludedNodeIds;
  const { node, units } = await holdRoomNode(
    deps,
    room,
    { callId: id, registeredNodeIds: o.preferNodeIds, excludedNodeIds },
    { wanted, isLive: before?.state === 'live' },
  );
  if (!node)
    throw new SwitchyardError('no_capacity', `No media node is serving with capacity for the room "${room.name}" now.`);
  try {
    const done = await deps.log.record(async (trx, emit) => {
      const lease = await lockLease(trx, room.id);
      const living = await findLivingSession(trx, room.id);
      if (living?.id !== before?.id) return undefined;
      const ended = living && (await endInside(trx, emit, living, reason, storeClock.now(), 'away'));
      if (!living) await deps.quotas.take(trx, room.domain_id, { units, openingRooms: 1 });
      const at = storeClock.now();
      if (!(await takeLease(trx, lease, { nodeId: node.id, sessionId: id, at }))) return undefined;
      const session = await insertSession(trx, {
        id,
        room_id: room.id,
        domain_id: room.domain_id,
        node_id: node.id,
        epoch: String(BigInt(lease.epoch) + 1n),
        meeting_id: living?.meeting_id ?? id,
        state: 'opening',
        units: String(units),
        settings: room.settings,
        layout: living?.layout ?? null,
        locked: living?.locked ?? deps.lockedFromStart(room),
        floor_participant_id: living?.floor_participant_id ?? null,
        video_floor_participant_id: living?.video_floor_participant_id ?? null,
        opened_at: at,
        open_until: new Date(at.getTime() + OPEN_FOR_MS),
      });
      emit(draftSessionEvent('session.opening', session, { node: node.name, before: living?.id ?? null }));
      return { session, ended };
    });
    if (!done) {
      await release(deps, node.id, id);
      return undefined;
    }
    if (done.ended) await afterEnd(deps, done.ended);
    return { session: done.session, node, isNew: true };
  } catch (error) {
    await release(deps, node.id, id);
    throw error;
  }
}

/**
 * What is to be claimed for a new session; of several the first that a node has room for. One that moves with people
 * in it takes what it had; where no node has as much left, it takes what lets it begin, and grows as they come.
 */
function claimsOf(room: RoomRow, before: SessionRow | undefined, o: OpenOptions): [number, ...number[]] {
  const fresh = o.entering ? sessionUnits(room.settings, [o.entering]) : RESERVED_UNITS;
  if (before?.state !== 'live') return [fresh];
  const least = sessionUnits(room.settings, []);
  return [Math.max(fresh, Number(before.units)), Math.min(least, Number(before.units))];
}

/** Ends it inside a transaction, with everybody in it. @returns the ended row, or undefined where it was over. */
export async function endInside(
  trx: Trx,
  emit: Emit,
  session: SessionRow,
  reason: SessionEnd,
  at: Date,
  everybody: 'left' | 'away',
): Promise<SessionRow | undefined> {
  const ended = await updateSession(trx, session.id, ['opening', 'live'], {
    state: 'ended',
    ended_at: at,
    end_reason: reason,
    open_until: null,
  });
  if (!ended) return undefined;
  await clearLease(trx, session.id);
  for (const participant of await listParticipants(trx, session.id)) {
    const row = await updateParticipant(trx, participant.id, ['joining', 'in'], {
      state: everybody,
      left_at: at,
      leave_reason: reason,
      member_id: null,
      leg_id: null,
    });
    if (row) emit(draftParticipantEvent(`participant.${everybody}`, row, { reason }));
  }
  emit(draftSessionEvent('session.ended', ended, { reason }));
  return ended;
}

/** After the transaction that ended it. */
export async function afterEnd(deps: SessionDeps, session: SessionRow): Promise<void> {
  if (session.node_id) await release(deps, session.node_id, session.id);
  deps.hooks.sessionEnded(session);
}

async function release(deps: SessionDeps, nodeId: string, sessionId: string): Promise<void> {
  await deps.claims.release(nodeId, sessionId, storeClock.nowMs()).catch(() => undefined); // else it expires by itself
}

/** Ends a session that is not over, and gives its lease and its capacity back. */
export async function endSession(
  deps: SessionDeps,
  sessionId: string,
  reason: SessionEnd,
  at: Date,
): Promise<SessionRow | undefined> {
  const ended = await deps.log.record(async (trx, emit) => {
    const session = await lockSession(trx, sessionId);
    if (!session || session.state === 'ended') return undefined;
    return endInside(trx, emit, session, reason, at, 'left');
  });
  if (ended) await afterEnd(deps, ended);
  return ended;
}

/**
 * The node says that the room is over there. Where somebody has been let in and is not there yet, the session stays
 * open for them under the same name: their node makes the room again.
 */
export async function endEmptySession(deps: SessionDeps, sessionId: string, at: Date): Promise<void> {
  const ended = await deps.log.record(async (trx, emit) => {
    const session = await lockSession(trx, sessionId);
    if (!session || session.state === 'ended') return undefined;
    const awaited = await listParticipants(trx, sessionId, ['joining']);
    if (awaited.length === 0) return endInside(trx, emit, session, 'empty', at, 'left');
    await updateSession(trx, sessionId, ['live'], {
      state: 'opening',
      conference_uuid: null,
      open_until: new Date(at.getTime() + ON_THE_WAY_MS),
    });
    return undefined;
  });
  if (ended) await afterEnd(deps, ended);
}

/** Ends a session for everybody in it: the room was deleted, or somebody asked for it. */
export async function closeSession(deps: SessionDeps, session: SessionRow, reason: SessionEnd): Promise<void> {
  await endSession(deps, session.id, reason, storeClock.now());
  await emptyRoom(deps, session);
}

/** Hangs up whoever is still there; a node that can't be asked is compared when it is back. */
export async function emptyRoom(deps: SessionDeps, session: Pick<SessionRow, 'id' | 'node_id'>): Promise<void> {
  if (!session.node_id) return;
  await deps.links.api(session.node_id, hangUpMember(session.id, 'all')).catch((error: unknown) => {
    deps.logger.warn({ err: error, sessionId: session.id }, 'a room could not be emptied now');
  });
}

/** Everybody who was in and is awaited in the room's next session. */
export async function listAwaited(deps: Pick<SessionDeps, 'db'>, sessionId: string): Promise<ParticipantRow[]> {
  return listParticipants(deps.db, sessionId, ['away']);
}
