/** Lets somebody into a session: claims what the room takes with them in it, and writes them down as on the way in. */
import { createId } from '../../../infra/ids';
import type { Trx } from '../../../infra/stores/db';
import { storeClock } from '../../../infra/store-clock';
import { hangupLegs } from '../../../freeswitch/esl';
import type { NodeRow } from '../../nodes/nodes.store';
import type { JoinAttempt, EnteringDeps, RoomCaller } from './join.dialplan';
import {
  findAbsent,
  insertParticipant,
  listParticipants,
  updateParticipant,
  type ParticipantRole,
  type ParticipantRow,
} from '../participants/participants.store';
import { draftParticipantEvent } from '../room-events';
import { sessionUnits, type Weighed } from '../sessions/session-units';
import { afterEnd, endInside, type Emit, type Opened } from '../sessions/sessions';
import { lockSession, updateSession, type SessionRow } from '../sessions/sessions.store';

export interface Entrant {
  role: ParticipantRole;
  /** Their channel on the session's node; null where they come over another node. */
  legId: string | null;
  /** What they send. */
  entering: Weighed;
  /** They were in the room when it moved, and come back: what they take was counted then. */
  isAwaited: boolean;
}

export type Admission =
  | { outcome: 'admitted'; participant: ParticipantRow }
  /** It ended in the meantime. */
  | { outcome: 'over' }
  /** It was only held open, its node has no room for it by now, and it is over: it can be opened elsewhere. */
  | { outcome: 'node_full' };

/**
 * One who was in this meeting before gets their row again, with all that was desired for them; a grant is one person, so
 * its second entry takes the place of the first. All under the session's lock, the claim too: of two who enter at once
 * the second one sees the first.
 * @throws quota_exceeded where the domain's units are used up
 */
export async function admitEntrant(
  deps: EnteringDeps,
  o: JoinAttempt,
  { session, node }: Opened,
  entrant: Entrant,
): Promise<Admission> {
  let claimed: Pick<SessionRow, 'id' | 'units'> | undefined;
  try {
    const done = await deps.log.record(async (trx, emit) => {
      const now = await lockSession(trx, session.id);
      if (!now || now.state === 'ended') return undefined;
      const found = await findEntrant(trx, o, now);
      const units = sessionUnits(now.settings, [...found.others, entrant.entering]);
      const more = units - Number(now.units);
      if (more > 0) {
        if (!o.isSent && !entrant.isAwaited) await deps.quotas.take(trx, now.domain_id, { units: more });
        claimed = now;
        const isOnlyHeld = now.state === 'opening' && found.present.length === 0;
        if (!(await growClaim(deps, node, now.id, units, isOnlyHeld))) {
          return { ended: await endInside(trx, emit, now, 'moved', storeClock.now(), 'away') };
        }
        await updateSession(trx, now.id, ['opening', 'live'], { units: String(units) });
      }
      return { row: await writeDown(deps, trx, emit, o, now, entrant, found), twin: found.twin };
    });
    if (done?.ended) {
      await afterEnd(deps, done.ended);
      return { outcome: 'node_full' };
    }
    await endTwin(deps, done?.twin, session, entrant);
    return done?.row ? { outcome: 'admitted', participant: done.row } : { outcome: 'over' };
  } catch (error) {
    // What was claimed is written nowhere: back to what is.
    if (claimed) await growClaim(deps, node, claimed.id, Number(claimed.units), false);
    throw error;
  }
}

interface Found {
  present: ParticipantRow[];
  /** Without the one who enters. */
  others: ParticipantRow[];
  /** The same person by a grant, in the room or on the way in: a new grant for who has one takes its place. */
  twin: ParticipantRow | undefined;
  /** A node that was given no answer in time asks once more for the same call: the answer is the same. */
  asked: ParticipantRow | undefined;
  before: ParticipantRow | undefined;
}

async function findEntrant(trx: Trx, { who, call }: JoinAttempt, session: SessionRow): Promise<Found> {
  const present = await listParticipants(trx, session.id);
  const twin = who.grantId ? present.find((p) => isSamePerson(p, who)) : undefined;
  const asked = present.find((p) => p.state === 'joining' && p.call_id === call.callId);
  const self = twin ?? asked;
  const before = self ?? (await findAbsent(trx, session.meeting_id, who.identity));
  return { present, others: present.filter((p) => p.id !== self?.id), twin, asked, before };
}

/** A grant is one person, and so are two grants for one identity. A user's own phone is not their page: both may be in. */
export const isSamePerson = (
  p: Pick<ParticipantRow, 'grant_id' | 'kind' | 'identity'>,
  who: Pick<RoomCaller, 'grantId' | 'kind' | 'identity'>,
): boolean =>
  p.grant_id === (who.grantId ?? '') || (p.kind === 'grant' && who.kind === 'grant' && p.identity === who.identity);

/** They come by another grant than before, which says what they are. */
const isAnew = (before: ParticipantRow, who: RoomCaller): boolean =>
  who.grantId !== undefined && who.role !== undefined && before.grant_id !== who.grantId;

/**
 * Whoever is let in is let in: only where nobody would be cut off may a node refuse. While Redis is away it refuses
 * nothing; the sweep claims later what is written.
 * @returns false where the node has no room
 */
async function growClaim(
  deps: Pick<EnteringDeps, 'claims' | 'logger'>,
  node: NodeRow,
  sessionId: string,
  units: number,
  mayRefuse: boolean,
): Promise<boolean> {
  const capacity = mayRefuse ? Number(node.effective_units ?? node.capacity_units) : null;
  return deps.claims.resize(node.id, sessionId, units, capacity, storeClock.nowMs()).catch((error: unknown) => {
    deps.logger.debug({ err: error, sessionId }, 'a claim grows later');
    return true;
  });
}

async function writeDown(
  deps: EnteringDeps,
  trx: Trx,
  emit: Emit,
  o: JoinAttempt,
  session: SessionRow,
  { role, legId }: Entrant,
  { before, asked }: Found,
): Promise<ParticipantRow | undefined> {
  const { who } = o;
  const arriving = {
    session_id: session.id,
    call_id: o.call.callId,
    leg_id: legId,
    member_id: null,
    state: 'joining' as const,
    entering_at: storeClock.now(),
    name: who.name,
    // What a moderator made of them stays; a moderators' PIN makes more of who comes back, and a new grant says it again.
    role: before && !(role === 'moderator' && who.role === undefined) && !isAnew(before, who) ? before.role : role,
    ...(before && who.grantId ? { grant_id: who.grantId, user_id: who.userId ?? null, kind: who.kind } : {}),
    left_at: null,
    leave_reason: null,
    observed: {},
  };
  const row = before
    ? await updateParticipant(trx, before.id, ['joining', 'in', 'left', 'away'], arriving)
    : await insertParticipant(trx, {
        id: createId(),
        room_id: session.room_id,
        meeting_id: session.meeting_id,
        domain_id: session.domain_id,
        identity: who.identity,
        kind: who.kind,
        grant_id: who.grantId ?? null,
        user_id: who.userId ?? null,
        muted: deps.readAdmissionPolicy(o.room).mutedOnEntry && role !== 'moderator',
        max_video_kbps: who.maxVideoKbps ?? null,
        ...arriving,
      });
  if (row && !asked) emit(draftParticipantEvent('participant.joining', row));
  return row;
}

async function endTwin(
  deps: EnteringDeps,
  twin: ParticipantRow | undefined,
  session: SessionRow,
  { legId }: Entrant,
): Promise<void> {
  if (!twin?.leg_id || !session.node_id || twin.leg_id === legId) return;
  const older = { nodeId: session.node_id, legId: twin.leg_id };
  await hangupLegs(deps, [older], 'PICKED_OFF').catch(() => undefined);
}
