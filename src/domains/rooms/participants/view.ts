/** A participant and the room's session as the API shows them: what is desired beside what was seen. */
import { z } from 'zod';
import { LEAVE_REASONS, type LeaveReason } from './leave-reasons';
import { listHands } from '../control/hand-queue';
import type { LiveState } from '../live/live-state';
import type { ParticipantRow } from './participants.store';
import type { SessionRow } from '../sessions/sessions.store';
import { desiredOf, type DesiredOfParticipant, type SeenParticipant, type SeenSession } from '../control/desired-state';
import { instant, presentInstant } from '../../../infra/text/instants';

const desired = z.object({
  muted: z.boolean(),
  videoMuted: z.boolean(),
  deaf: z.boolean(),
  volumeIn: z.int(),
  volumeOut: z.int(),
  layer: z.int().nullable(),
  reservation: z.string().nullable(),
  banner: z.string().nullable(),
  maxVideoKbps: z.int().nullable(),
});

const observed = z.object({
  muted: z.boolean().nullable(),
  videoMuted: z.boolean().nullable(),
  deaf: z.boolean().nullable(),
  hasVideo: z.boolean().nullable(),
  moderator: z.boolean().nullable().describe('Their role on the node; a changed role takes effect at the next join.'),
  volumeIn: z.int().nullable(),
  volumeOut: z.int().nullable(),
  layer: z.int().nullable(),
  reservation: z.string().nullable(),
  banner: z.string().nullable(),
  maxVideoKbps: z.int().nullable(),
});

const quality = z.object({
  class: z.enum(['good', 'fair', 'poor']),
  audioLossPercent: z.number(),
  videoLossPercent: z.number().nullable(),
  audioPacketsPerSecond: z.number(),
  videoKbps: z.number().nullable(),
  mos: z.number().nullable(),
  sampledAt: z.iso.datetime(),
});

export const participantSchema = z
  .object({
    id: z.uuid(),
    identity: z.string().describe('user:NAME, a grant’s identity, number:+49…, or anonymous:CALL for hidden callers'),
    kind: z.enum(['grant', 'user', 'number']),
    name: z.string(),
    role: z.enum(['moderator', 'participant']),
    state: z.enum(['joining', 'in', 'away', 'left']).describe('away: their session ended and they are expected back.'),
    since: instant.describe('When they joined this session: a move of the room begins a new one.'),
    leftAt: instant,
    leaveReason: z
      .enum(LEAVE_REASONS)
      .nullable()
      .describe(
        '`hung_up`: they hung up. `connection_lost`: nothing more was received from their phone or browser. `lost`: the reason ' +
          'is unknown. The values from `empty` on are reasons of their session.',
      ),
    userId: z.uuid().nullable(),
    grantId: z.uuid().nullable(),
    callId: z.uuid().nullable(),
    desired,
    observed,
    pending: z.array(z.string()).describe('Desired, but not observed yet.'),
    failed: z.array(z.string()).describe('Changes that the node failed to apply.'),
    talking: z.boolean(),
    floor: z.boolean(),
    videoFloor: z.boolean(),
    hand: z.object({ raisedAt: z.iso.datetime(), position: z.int().describe('1 is next.') }).nullable(),
    quality: quality.nullable().describe('Of the media received from them, over the last seconds.'),
  })
  .meta({ id: 'Participant' });
export type ParticipantView = z.output<typeof participantSchema>;

export const liveSessionSchema = z
  .object({
    id: z.uuid(),
    meetingId: z.uuid(),
    node: z.string().nullable(),
    state: z.enum(['opening', 'live', 'ended']),
    startedAt: instant,
    layout: z.object({
      desired: z.string().nullable().describe("null: as in the room's settings."),
      observed: z.string().nullable().describe('null: the initial one.'),
    }),
    locked: z.object({ desired: z.boolean(), observed: z.boolean().nullable() }),
    floor: z.object({ heldFor: z.uuid().nullable(), participantId: z.uuid().nullable() }),
    videoFloor: z.object({ heldFor: z.uuid().nullable(), participantId: z.uuid().nullable() }),
    pending: z.array(z.string()),
    failed: z.array(z.string()),
  })
  .meta({ id: 'LiveSession' });
export type LiveSessionView = z.output<typeof liveSessionSchema>;

/** What is desired for them and was not seen. One who is away is awaited with all of it. */
export function pendingChanges(p: ParticipantRow): string[] {
  if (p.state !== 'in') return [];
  const seen = p.observed as SeenParticipant;
  const desired = desiredOf(p);
  const open = (Object.keys(desired) as DesiredOfParticipant[]).filter((what) => {
    if (what === 'maxVideoKbps' && desired[what] === null) return false; // what is seen is the room's
    const isUnset = desired[what] === null || desired[what] === false || desired[what] === 0;
    return isUnset ? (seen[what] ?? desired[what]) !== desired[what] : seen[what] !== desired[what];
  });
  const role = seen.moderator !== undefined && seen.moderator !== (p.role === 'moderator') ? ['role'] : [];
  return [...open, ...role];
}

/** @param everybody all of the session: they tell the place in the queue of hands */
export function presentParticipant(
  p: ParticipantRow,
  state: LiveState,
  everybody: readonly ParticipantRow[],
): ParticipantView {
  const seen = p.observed as SeenParticipant;
  const isIn = p.state === 'in';
  const place = listHands(everybody).findIndex((h) => h.id === p.id);
  return {
    id: p.id,
    identity: p.identity,
    kind: p.kind,
    name: p.name,
    role: p.role,
    state: p.state,
    since: presentInstant(p.joined_at),
    leftAt: presentInstant(p.left_at),
    leaveReason: p.state === 'left' || p.state === 'away' ? (p.leave_reason as LeaveReason | null) : null,
    userId: p.user_id,
    grantId: p.grant_id,
    callId: p.call_id,
    desired: desiredOf(p) as ParticipantView['desired'],
    observed: {
      muted: seen.muted ?? null,
      videoMuted: seen.videoMuted ?? null,
      deaf: seen.deaf ?? null,
      hasVideo: seen.hasVideo ?? null,
      moderator: seen.moderator ?? null,
      volumeIn: seen.volumeIn ?? null,
      volumeOut: seen.volumeOut ?? null,
      layer: seen.layer ?? null,
      reservation: seen.reservation ?? null,
      banner: seen.banner ?? null,
      maxVideoKbps: seen.maxVideoKbps ?? null,
    },
    pending: pendingChanges(p),
    failed: Object.keys(seen.failed ?? {}),
    talking: isIn && (state.participants.get(p.id)?.talking ?? false),
    floor: isIn && state.floor.audio === p.id,
    videoFloor: isIn && state.floor.video === p.id,
    hand:
      p.hand_raised_at === null || place < 0 ? null : { raisedAt: p.hand_raised_at.toISOString(), position: place + 1 },
    quality: isIn ? (p.quality as ParticipantView['quality']) : null,
  };
}

export function presentLiveSession(session: SessionRow, nodeName: string | null, state: LiveState): LiveSessionView {
  const seen = session.observed as SeenSession;
  return {
    id: session.id,
    meetingId: session.meeting_id,
    node: nodeName,
    state: session.state,
    startedAt: presentInstant(session.started_at),
    layout: { desired: session.layout, observed: seen.layout ?? null },
    locked: { desired: session.locked, observed: seen.locked ?? null },
    floor: { heldFor: session.floor_participant_id, participantId: state.floor.audio ?? null },
    videoFloor: { heldFor: session.video_floor_participant_id, participantId: state.floor.video ?? null },
    pending: pendingOfSession(session),
    failed: Object.keys(seen.failed ?? {}),
  };
}

export function pendingOfSession(session: SessionRow): string[] {
  const seen = session.observed as SeenSession;
  return [
    ...(session.layout !== null && session.layout !== seen.layout ? ['layout'] : []),
    ...(session.locked !== (seen.locked ?? false) ? ['locked'] : []),
  ];
}
