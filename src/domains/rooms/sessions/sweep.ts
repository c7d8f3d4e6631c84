/** Makes good what no event told of rooms: sessions nobody came to, claims, rooms of dead nodes, people who never arrived. */
import { findHolders, listClaimHolders } from '../../nodes/capacity/claim-holders.store';
import type { HeldClaim } from '../../nodes/capacity/claims';
import { forgetGone } from '../adoption/adopted.store';
import { PROOF_SECONDS } from '../adoption/proof';
import { moveSession, type RoomReconcileDeps } from './reconcile-node';
import { sweepLeases } from './lease-sweep';
import { markLeft } from '../participants/member-events';
import { forgetAway } from '../participants/participants.store';
import { RETURN_MS } from './session-units';
import { closeSession, endSession } from './sessions';
import {
  listAwaitedPhones,
  listMovedBetween,
  listLeftByModerators,
  listNeverCame,
  listNeverEntered,
  listSessionsOfGoneNodes,
} from './sweep.store';
import { weighSession } from './claim-size';
import { deleteExpiredTickets } from '../joining/tickets.store';

/** Somebody who was let in and never came. */
const JOINING_LIMIT_MS = 60_000;
/** How long a place is kept for somebody whose room moved. */
const AWAY_LIMIT_MS = 600_000;
/** A moderator whose page is loaded again is back within this; only then does the room end with its last one. */
const MODERATOR_GRACE_MS = 10_000;
/** A phone that is not back in its room by then is sent in once more, and again, until the last of these. */
const BACK_MS = { first: 2000, last: 30_000 };
const PAGE = 1000;
/** At most so many claims are kept in one step; the next goes on behind them. A claim lives for 60 steps. */
const SLICE = 10_000;

/** @returns one step, to be called again and again: it takes no longer with many rooms than with a few thousand */
export function createRoomsSweep(deps: RoomReconcileDeps): (now: Date) => Promise<void> {
  let after: HeldClaim | undefined;

  async function keepClaims(now: Date): Promise<void> {
    let forgotten = 0;
    for (let seen = 0; seen < SLICE || forgotten > 0; seen += PAGE) {
      const page = await listClaimHolders(deps.db, 'sessions', after, PAGE);
      forgotten += await deps.claims.keepAll(page, now.getTime(), (claims) => findHolders(deps.db, 'sessions', claims));
      after = page.length < PAGE ? undefined : page.at(-1);
      if (!after) return;
    }
  }

  return async (now) => {
    for (const session of await listSessionsOfGoneNodes(deps.db)) {
      await moveSession(deps, session, 'node_died').catch((error: unknown) => {
        deps.logger.warn({ err: error, sessionId: session.id }, 'a room could not be moved now');
      });
    }
    const ago = (ms: number): Date => new Date(now.getTime() - ms);
    const phones = await listAwaitedPhones(deps.db, ago(BACK_MS.last), ago(BACK_MS.first));
    await Promise.all(
      phones.map((participant) =>
        deps.rejoinLate(participant).catch((error: unknown) => {
          deps.logger.warn({ err: error, participantId: participant.id }, 'a phone could not be brought back now');
        }),
      ),
    );
    for (const participant of await listNeverCame(deps.db, new Date(now.getTime() - JOINING_LIMIT_MS))) {
      await markLeft(deps, participant, now, 'never_came');
    }
    for (const id of await listNeverEntered(deps.db, now)) await endSession(deps, id, 'never_entered', now);
    for (const id of await listMovedBetween(deps.db, ago(RETURN_MS + 10_000), ago(RETURN_MS))) {
      await weighSession(deps, id).catch((error: unknown) => deps.logger.debug({ err: error }, 'weighed later'));
    }
    // Not left to the node: who is a moderator, and whether that matters, can be changed while they are in.
    for (const session of await listLeftByModerators(deps.db, new Date(now.getTime() - MODERATOR_GRACE_MS))) {
      await closeSession(deps, session, 'moderator_left');
    }
    await keepClaims(now).catch((error: unknown) => deps.logger.debug({ err: error }, 'claims are kept later'));
    await sweepLeases(deps, now);
    await forgetAway(deps.db, new Date(now.getTime() - AWAY_LIMIT_MS));
    await deleteExpiredTickets(deps.db, now);
    await forgetGone(deps.db, ago((PROOF_SECONDS + 3600) * 1000));
  };
}
