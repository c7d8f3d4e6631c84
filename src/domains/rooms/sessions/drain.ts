/** The deadline of a drain: the node's rooms go on elsewhere, browsers are told where, phones are taken along. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { NodeRow } from '../../nodes/nodes.store';
import { moveSession, type RoomReconcileDeps } from './reconcile-node';
import { listParticipants } from '../participants/participants.store';
import { emptyRoom } from './sessions';
import { listLivingSessions, type SessionRow } from './sessions.store';
import { sendIntoRoom } from '../joining/tickets';

export interface DrainDeps extends RoomReconcileDeps {
  /** Ends the waiting when Switchyard stops; whoever compares the node next empties the room. */
  signal: AbortSignal;
}

/** Browsers that heard where to go have gone by then; whoever is left is hung up, so that the drain ends. */
const LEAVE_MS = 8000;

export async function drainOf(deps: DrainDeps, node: NodeRow): Promise<void> {
  const sessions = await listLivingSessions(deps.db, node.id);
  await Promise.all(
    sessions.map((session) =>
      drainSession(deps, session).catch((error: unknown) => {
        deps.logger.warn({ err: error, sessionId: session.id }, 'a room could not be moved off a draining node now');
      }),
    ),
  );
}

/** A phone can't be told to register elsewhere: its channel here is sent on, and goes over this node to the other one. */
async function drainSession(deps: DrainDeps, session: SessionRow): Promise<void> {
  const inside = await listParticipants(deps.db, session.id, ['in']);
  const moved = await moveSession(deps, session, 'moved');
  if (!moved || !session.node_id) return;
  const nodeId = session.node_id;
  for (const { kind, leg_id: legId, id } of inside) {
    if (kind === 'grant' || !legId) continue;
    await sendIntoRoom(deps.db, { participantId: id, roomId: session.room_id, legId, nodeId })
      .then((command) => deps.links.api(nodeId, command))
      .catch((error: unknown) => {
        deps.logger.warn({ err: error, participantId: id }, 'a phone could not be taken along');
      });
  }
  await sleep(LEAVE_MS, undefined, { signal: deps.signal }).catch(() => undefined);
  if (!deps.signal.aborted) await emptyRoom(deps, session);
}
