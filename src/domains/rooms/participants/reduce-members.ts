/** What becomes of sessions and of those in them by a batch of reports: who is in, who is out, which room lives. Pure. */
import type { ChannelEvent, RoomEvent } from '../../../freeswitch/esl';
import { isPhoneLost } from '../../../freeswitch/esl';
import { isId } from '../../../infra/ids';
import type { EventDraft } from '../../events/events.store';
import type { NodeRow } from '../../nodes/nodes.store';
import { boundTime } from '../../nodes/trust/bounded-time';
import { draftParticipantEvent, draftSessionEvent } from '../room-events';
import type { SessionRow } from '../sessions/sessions.store';
import type { ParticipantObserved, ParticipantRow } from './participants.store';

/** One report: of the room itself, or of a channel that has ended. */
export interface MemberFact {
  node: NodeRow;
  event: RoomEvent | ChannelEvent;
}

export interface KnownMembers {
  sessions: ReadonlyMap<string, SessionRow>;
  /** By the leg by which they are in, or on the way in. */
  participants: ReadonlyMap<string, ParticipantRow>;
}

/** As an event tells it. */
export interface StrangeRoom {
  name: string;
  conferenceUuid: string | null;
  size: number;
  members: { memberId: number; legId: string; joinedAt: Date; seen: ParticipantObserved }[];
}

/** What others are told once it is written. */
export type MemberNotice =
  { kind: 'live'; session: SessionRow } | { kind: 'in' | 'left'; session: SessionRow; participant: ParticipantRow };

/** The call of somebody who is in is answered; what is told of that comes before their own event. */
export interface Entered {
  participantId: string;
  callId: string;
  at: Date;
}

export interface MemberChanges {
  /** As they are now. */
  sessions: Map<string, SessionRow>;
  participants: Map<string, ParticipantRow>;
  told: (EventDraft | Entered)[];
  notices: MemberNotice[];
  /** Rooms that are over at their node. */
  ended: { sessionId: string; at: Date }[];
  /** Rooms without a living session here, and those in one whom no row explains. */
  strangers: { node: NodeRow; session: SessionRow | undefined; room: StrangeRoom }[];
  /** What a node has told that is not its own, or can't be. */
  refusals: { node: NodeRow; about: 'room' | 'time'; details: Record<string, unknown> }[];
}

interface Reducing extends MemberChanges {
  known: KnownMembers;
  /** Legs that are nobody's any more. */
  goneLegs: Set<string>;
  nowMs: number;
}

/** In their order: each sees what the ones before it have changed. */
export function reduceMembers(known: KnownMembers, facts: readonly MemberFact[], nowMs: number): MemberChanges {
  const to: Reducing = {
    ...{ known, nowMs, goneLegs: new Set(), sessions: new Map(), participants: new Map() },
    ...{ told: [], notices: [], ended: [], strangers: [], refusals: [] },
  };
  for (const fact of facts) take(to, fact);
  const { sessions, participants, told, notices, ended, strangers, refusals } = to;
  return { sessions, participants, told, notices, ended, strangers, refusals };
}

function take(to: Reducing, { node, event }: MemberFact): void {
  if (event.type === 'channel') {
    const { phase, legId, hangupCause, endedAtMs, atMs } = event;
    if (phase === 'hangup') takeLeft(to, node, { legId, hangupCause, atMs: endedAtMs ?? atMs });
    return;
  }
  if (event.action === 'conference-create') takeCreated(to, node, event);
  if (event.action === 'add-member') takeMember(to, node, event);
  if (event.action === 'del-member' && event.legId) takeLeft(to, node, { ...event, legId: event.legId });
  if (event.action === 'conference-destroy') takeDestroyed(to, node, event);
}

const sessionOf = (to: Reducing, id: string): SessionRow | undefined =>
  to.sessions.get(id) ?? to.known.sessions.get(id);

/** The session of that name, where this node owns it. What else becomes of it is not decided here. */
function ownSession(to: Reducing, node: NodeRow, conferenceName: string): SessionRow | undefined {
  const session = sessionOf(to, conferenceName);
  if (!session || session.state === 'ended') return undefined;
  if (session.node_id === node.id) return session;
  to.refusals.push({ node, about: 'room', details: { sessionId: session.id } });
  return undefined;
}

/** When something came about in a room, within the session's own time. */
function timeIn(to: Reducing, node: NodeRow, session: SessionRow, claimedMs: number): Date {
  const { at, isMoved } = boundTime(claimedMs, session.opened_at.getTime(), to.nowMs);
  if (isMoved) to.refusals.push({ node, about: 'time', details: { sessionId: session.id } });
  return at;
}

function strange(
  to: Reducing,
  node: NodeRow,
  event: RoomEvent,
  session?: SessionRow,
  members: StrangeRoom['members'] = [],
) {
  const room = {
    name: event.room,
    conferenceUuid: event.sessionId ?? null,
    size: event.size ?? members.length,
    members,
  };
  to.strangers.push({ node, session, room });
}

function takeCreated(to: Reducing, node: NodeRow, event: RoomEvent): void {
  if (!isId(event.room)) return; // not of our making: left alone
  const session = ownSession(to, node, event.room);
  if (!session) return strange(to, node, event);
  bringToLife(to, node, session, event.sessionId ?? null, timeIn(to, node, session, event.atMs));
}

/** What a session becomes with the first word of its room. */
export const asLive = (session: SessionRow, conferenceUuid: string | null, at: Date) => ({
  state: 'live' as const,
  conference_uuid: conferenceUuid,
  started_at: session.started_at ?? at,
  open_until: null,
  observed: {},
});

/** Says once that the room lives. */
function bringToLife(to: Reducing, node: NodeRow, session: SessionRow, uuid: string | null, at: Date): SessionRow {
  if (session.state !== 'opening') return session;
  const live = { ...session, ...asLive(session, uuid, at) };
  to.sessions.set(live.id, live);
  to.told.push(draftSessionEvent('session.live', live, { node: node.name }));
  to.notices.push({ kind: 'live', session: live });
  return live;
}

const flag = (event: RoomEvent, name: string): boolean | undefined => {
  const value = event.fields[name];
  return value === undefined ? undefined : value === 'true';
};
const not = (value: boolean | undefined): boolean | undefined => (value === undefined ? undefined : !value);

/** What a column of whole numbers holds. */
const MOST = 2_147_483_647;

/** @returns undefined for what is no member's number: one that can't be kept would keep out what is reported beside it */
export function readMemberId(told: unknown): number | undefined {
  const n = Number(told);
  return Number.isInteger(n) && n > 0 && n <= MOST ? n : undefined;
}

function takeMember(to: Reducing, node: NodeRow, event: RoomEvent): void {
  const memberId = readMemberId(event.memberId);
  const { legId } = event;
  if (!isId(event.room) || !legId || !isId(legId) || memberId === undefined) return;
  const own = ownSession(to, node, event.room);
  if (!own) return strange(to, node, event);
  const at = timeIn(to, node, own, event.atMs);
  const session = bringToLife(to, node, own, event.sessionId ?? null, at);
  const participant = participantOf(to, legId);
  const seen = {
    hasVideo: flag(event, 'Video'),
    muted: not(flag(event, 'Speak')),
    deaf: not(flag(event, 'Hear')),
  };
  // Nobody gets in without an answer of ours, which writes the row first: this one's row is over, or was lost.
  if (participant?.session_id !== session.id)
    return strange(to, node, event, session, [{ memberId, legId, joinedAt: at, seen }]);
  if (participant.state !== 'joining') return;
  const row: ParticipantRow = { ...participant, ...asIn(memberId, at, seen) };
  to.participants.set(row.id, row);
  if (row.call_id) to.told.push({ participantId: row.id, callId: row.call_id, at });
  to.told.push(draftParticipantEvent('participant.in', row, { hasVideo: seen.hasVideo ?? false }));
  to.notices.push({ kind: 'in', session, participant: row });
}

/** What becomes of somebody who is in the room, as an event or a snapshot tells. */
export const asIn = (memberId: number, at: Date, seen: ParticipantObserved) => ({
  state: 'in' as const,
  member_id: memberId,
  joined_at: at,
  left_at: null,
  leave_reason: null,
  observed: seen,
});

/** What becomes of somebody who is out of it. */
export const asLeft = (participant: Pick<ParticipantRow, 'leave_reason'>, at: Date, reason: string) => ({
  state: 'left' as const,
  left_at: at,
  leave_reason: participant.leave_reason ?? reason,
  leg_id: null,
  member_id: null,
  hand_raised_at: null,
});

function participantOf(to: Reducing, legId: string): ParticipantRow | undefined {
  if (to.goneLegs.has(legId)) return undefined;
  const row = to.known.participants.get(legId);
  return row && (to.participants.get(row.id) ?? row);
}

/** A channel that is in a room no more: its own end says it, or the room's. */
interface Leaving {
  legId: string;
  room?: string;
  atMs: number;
  /** Where the channel itself has ended. */
  hangupCause?: string;
}

/** The channel is out of the room, or ended before it was in: said by the node that has the session. */
function takeLeft(to: Reducing, node: NodeRow, { legId, room, atMs, hangupCause }: Leaving): void {
  const participant = participantOf(to, legId);
  if (!participant || (room !== undefined && participant.session_id !== room)) return;
  const session = sessionOf(to, participant.session_id);
  if (session?.node_id !== node.id) {
    to.refusals.push({ node, about: 'room', details: { sessionId: participant.session_id, leg: legId } });
    return;
  }
  const at = timeIn(to, node, session, atMs);
  if (participant.state !== 'joining' && participant.state !== 'in') return;
  const row = { ...participant, ...asLeft(participant, at, isPhoneLost(hangupCause) ? 'connection_lost' : 'hung_up') };
  to.participants.set(row.id, row);
  to.goneLegs.add(legId);
  to.told.push(draftParticipantEvent('participant.left', row, { reason: row.leave_reason }));
  to.notices.push({ kind: 'left', session, participant: row });
}

function takeDestroyed(to: Reducing, node: NodeRow, event: RoomEvent): void {
  const session = isId(event.room) ? ownSession(to, node, event.room) : undefined;
  if (session) to.ended.push({ sessionId: session.id, at: timeIn(to, node, session, event.atMs) });
}
