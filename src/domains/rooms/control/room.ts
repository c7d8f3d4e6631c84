/** What can be done with a room as a whole while people are in it: the floor and its queue, lock, layout, playing, dialling. */
import { SwitchyardError } from '../../../errors';
import {
  clearVideoFloor,
  EslError,
  listMemberFlags,
  parseRoomFlags,
  playedMs,
  playInRoom,
  readTones,
  renderedMs,
  sayInRoom,
  stopPlayingInRoom,
  type ApiCommand,
} from '../../../freeswitch/esl';
import { listHands, nextHand } from './hand-queue';
import type { LiveSessionView, ParticipantView } from '../participants/view';
import { pendingOfSession, presentParticipant } from '../participants/view';
import { findParticipant, listParticipants, type ParticipantRow } from '../participants/participants.store';
import { draftParticipantEvent, draftSessionEvent } from '../room-events';
import type { RoomRow } from '../rooms.store';
import { findSession, updateSession, type SessionRow } from '../sessions/sessions.store';
import { isMixed, readSettings } from '../settings';
import {
  command,
  confirm,
  requireLive,
  requireParticipant,
  requireSession,
  presentParticipantNow,
  presentRoomState,
  type ControlDeps,
} from './participants';
import { forgetFailed, listPresent, moveHand } from './control.store';
import { CHARACTER_MS, FILE_MS } from './waiting-sounds';
import { moveFloor, moveVideoFloor, type DesiredOfRoom } from './desired-state';
import { storeClock } from '../../../infra/store-clock';

async function requireLiveSessionView(deps: ControlDeps, room: RoomRow): Promise<LiveSessionView> {
  const { session } = await presentRoomState(deps, room);
  if (!session) throw new SwitchyardError('conflict', `Nobody is in the room "${room.name}" any more.`);
  return session;
}

/** Writes desired changes for the room down, and waits a moment for the node. */
async function changeDesired(
  deps: ControlDeps,
  room: RoomRow,
  session: SessionRow,
  change: { layout?: string | null; locked?: boolean },
): Promise<LiveSessionView> {
  const row = await deps.log.record(async (trx, emit) => {
    const changed = await updateSession(trx, session.id, ['opening', 'live'], change);
    if (!changed) return undefined;
    await forgetFailed(trx, 'sessions', session.id, Object.keys(change) as DesiredOfRoom[]);
    emit(draftSessionEvent('room.changed', changed, change));
    return changed;
  });
  if (!row) throw new SwitchyardError('conflict', `The session of "${room.name}" has just ended.`);
  deps.reconciler.forgetAttempts(session.id, Object.keys(change));
  await deps.reconciler.reconcile(session.id).catch(() => deps.reconciler.nudge(session.id));
  if (row.state === 'live') {
    await confirm(async () => {
      const now = await findSession(deps.db, session.id);
      return !now || !pendingOfSession(now).some((desired) => desired in change);
    });
  }
  return requireLiveSessionView(deps, room);
}

export async function setLock(deps: ControlDeps, room: RoomRow, locked: boolean): Promise<LiveSessionView> {
  return changeDesired(deps, room, await requireSession(deps, room), { locked });
}

/** @throws unprocessable for a layout that does not exist, conflict where the room mixes no video */
export async function chooseLayout(deps: ControlDeps, room: RoomRow, layout: string): Promise<LiveSessionView> {
  const session = await requireSession(deps, room);
  await deps.requireLayout(room.domain_id, layout);
  requireMixed(session);
  return changeDesired(deps, room, session, { layout });
}

/** @throws conflict where nothing is mixed that could be arranged or looked at */
export function requireMixed(session: SessionRow): void {
  if (!isMixed(readSettings(session.settings))) {
    throw new SwitchyardError('conflict', 'This session has no mixed video.');
  }
}

export interface FloorRequest {
  participantId: string | null;
  audio: boolean;
  video: boolean;
  /** Given back to them when somebody else takes it; without, it goes where the voices go. */
  hold: boolean;
}

/** Gives the floor to somebody, or lets it go. @throws conflict where they are not in, unprocessable for no video */
export async function setFloor(deps: ControlDeps, room: RoomRow, o: FloorRequest): Promise<LiveSessionView> {
  const session = await requireLive(deps, room);
  const person = o.participantId === null ? undefined : await requireParticipant(deps, room, o.participantId);
  if (person && (person.state !== 'in' || person.member_id === null || person.session_id !== session.id)) {
    throw new SwitchyardError('conflict', 'The participant is not in the room at the moment.');
  }
  const hasVideo = person?.observed.hasVideo === true;
  if (person && o.video && !o.audio && !hasVideo) {
    throw new SwitchyardError('unprocessable', 'The participant sends no video.');
  }
  await deps.reconciler.alone(session.id, () => giveFloor(deps, room, session, person, o));
  if (person) {
    await confirm(async () => {
      const { floor } = await deps.live.read(session.id);
      return (!o.audio || floor.audio === person.id) && (!o.video || !hasVideo || floor.video === person.id);
    });
  }
  return requireLiveSessionView(deps, room);
}

/** Writes the desired state down and tells the node. The sweep must not take it in hand in between: it would take it away again. */
async function giveFloor(
  deps: ControlDeps,
  room: RoomRow,
  session: SessionRow & { node_id: string },
  person: ParticipantRow | undefined,
  o: FloorRequest,
): Promise<void> {
  const hasVideo = person?.observed.hasVideo === true;
  const kept = o.hold ? (person?.id ?? null) : null;
  await deps.log.record(async (trx, emit) => {
    const row = await updateSession(trx, session.id, ['live'], {
      ...(o.audio ? { floor_participant_id: kept } : {}),
      ...(o.video ? { video_floor_participant_id: kept } : {}),
    });
    if (!row) throw new SwitchyardError('conflict', `The session of "${room.name}" has just ended.`);
    await forgetFailed(trx, 'sessions', session.id, ['floor', 'videoFloor']);
    emit(draftSessionEvent('floor.changed', row, { ...o }));
  });
  if (person) deps.reconciler.forgetAttempts(person.id, ['floor', 'videoFloor']);
  const commands = await commandsToMoveFloor(deps, session, person, { ...o, video: o.video && (!person || hasVideo) });
  const replies = await Promise.all(commands.map((c) => deps.links.api(session.node_id, c)));
  if (o.video && hasVideo && replies.every((r) => r.ok)) deps.live.setFloor(session, { videoHeld: o.hold });
}

async function commandsToMoveFloor(
  deps: ControlDeps,
  session: SessionRow & { node_id: string },
  person: ParticipantRow | undefined,
  o: FloorRequest,
): Promise<ApiCommand[]> {
  if (!person) return o.video ? [clearVideoFloor(session.id)] : [];
  const commands: ApiCommand[] = [];
  if (o.video) {
    commands.push(...moveVideoFloor(session.id, person.member_id!));
    if (!o.hold) commands.push(clearVideoFloor(session.id));
  }
  if (o.audio) {
    // Who has it changes with every word: the node is asked at this moment.
    const listed = await deps.links.api(session.node_id, listMemberFlags(session.id));
    const holder = parseRoomFlags(listed.text, session.id)[0]?.members.find((m) => m.floor);
    if (holder?.memberId !== person.member_id) {
      commands.push(...moveFloor(session.id, person.member_id!, holder?.memberId ?? null));
    }
  }
  return commands;
}

export async function raiseHand(deps: ControlDeps, room: RoomRow, id: string): Promise<ParticipantView> {
  const person = await requireParticipant(deps, room, id);
  if (person.state !== 'in' && person.state !== 'joining') {
    throw new SwitchyardError('conflict', 'The participant is not in the room at the moment.');
  }
  await deps.log.record(async (trx, emit) => {
    const row = await moveHand(trx, id, storeClock.now());
    if (row) emit(draftParticipantEvent('hand.raised', row));
  });
  return presentParticipantNow(deps, (await findParticipant(deps.db, id)) ?? person);
}

export async function lowerHand(deps: ControlDeps, room: RoomRow, id: string): Promise<ParticipantView> {
  const person = await requireParticipant(deps, room, id);
  await deps.log.record(async (trx, emit) => {
    const row = await moveHand(trx, id, null);
    if (row) emit(draftParticipantEvent('hand.lowered', row, { reason: 'lowered' }));
  });
  return presentParticipantNow(deps, (await findParticipant(deps.db, id)) ?? person);
}

/** The queue, the next one first. */
export async function presentHands(deps: ControlDeps, room: RoomRow): Promise<ParticipantView[]> {
  const session = await requireSession(deps, room);
  const people = await listPresent(deps.db, { sessionId: session.id, meetingId: session.meeting_id });
  const state = await deps.live.read(session.id);
  return listHands(people).map((p) => presentParticipant(p, state, people));
}

/** The floor goes round: the first in the queue gets it. Two who ask at once serve two hands. */
export async function callNext(
  deps: ControlDeps,
  room: RoomRow,
): Promise<{ participant: ParticipantView | null; hands: ParticipantView[] }> {
  const session = await requireLive(deps, room);
  for (;;) {
    const next = nextHand(await listParticipants(deps.db, session.id, ['in']));
    if (!next) return { participant: null, hands: await presentHands(deps, room) };
    const lowered = await deps.log.record(async (trx, emit) => {
      const row = await moveHand(trx, next.id, null);
      if (row) emit(draftParticipantEvent('hand.lowered', row, { reason: 'next' }));
      return row;
    });
    if (!lowered) continue;
    await setFloor(deps, room, { participantId: next.id, audio: true, video: true, hold: true });
    const participant = await presentParticipantNow(deps, (await findParticipant(deps.db, next.id)) ?? lowered);
    return { participant, hands: await presentHands(deps, room) };
  }
}

export type PlayRequest = { file: string } | { tone: string } | { text: string };

/** How long it plays, as far as that can be known here, and what of it a node renders at once. */
function lengthOf(what: PlayRequest): { renderedMs: number; playedMs: number } {
  if ('file' in what) return { renderedMs: 0, playedMs: FILE_MS };
  if ('text' in what) return { renderedMs: 0, playedMs: what.text.length * CHARACTER_MS };
  const found = readTones(what.tone);
  if ('fault' in found) throw new SwitchyardError('invalid_request', `tone: ${found.fault}`);
  return { renderedMs: renderedMs(found.tones), playedMs: playedMs(found.tones) };
}

/** To all, or to one. @throws unprocessable where the node has no such file, or no voice; conflict where too much waits */
export async function play(
  deps: ControlDeps,
  room: RoomRow,
  what: PlayRequest,
  participantId: string | undefined,
): Promise<void> {
  const session = await requireLive(deps, room);
  const memberId = await memberOf(deps, room, session, participantId);
  const line =
    'text' in what
      ? sayInRoom(session.id, what.text, memberId)
      : playInRoom(session.id, 'file' in what ? what.file : `tone_stream://${what.tone}`, memberId);
  const leave = await deps.sounds.enter(session.id, { memberId, ...lengthOf(what) });
  const reply = await deps.links.api(session.node_id, line).catch(async (error: unknown) => {
    // One that was sent may play: it counts until it would be over.
    if (!(error instanceof EslError && error.sent)) await leave();
    throw error;
  });
  if (reply.ok) return;
  await leave();
  if (/not found/.test(reply.text) && 'file' in what) {
    throw new SwitchyardError('unprocessable', `The room's node has no sound "${what.file}".`);
  }
  throw new SwitchyardError('node_error', `The node answered: ${reply.text.slice(0, 200)}`);
}

async function memberOf(
  deps: ControlDeps,
  room: RoomRow,
  session: SessionRow,
  participantId: string | undefined,
): Promise<number | undefined> {
  if (participantId === undefined) return undefined;
  const person = await requireParticipant(deps, room, participantId);
  if (person.state !== 'in' || person.member_id === null || person.session_id !== session.id) {
    throw new SwitchyardError('conflict', 'The participant is not in the room at the moment.');
  }
  return person.member_id;
}

/** @returns how many were stopped, those that waited for their turn as well */
export async function stopPlaying(
  deps: ControlDeps,
  room: RoomRow,
  participantId: string | undefined,
): Promise<{ stopped: number }> {
  const session = await requireLive(deps, room);
  const memberId = await memberOf(deps, room, session, participantId);
  const said = await command(deps, session.node_id, stopPlayingInRoom(session.id, memberId));
  await deps.sounds.stop(session.id, memberId);
  return { stopped: Number(/\d+/.exec(said)?.[0] ?? 0) };
}

/** Rings somebody and puts them into the room, which opens where nobody is in it. */
export async function dialOut(
  deps: ControlDeps,
  room: RoomRow,
  o: { to: string; ringTimeoutSeconds?: number },
): Promise<{ id: string }> {
  return deps.createCall({
    domainId: room.domain_id,
    domain: room.domain_name,
    from: o.to,
    to: `room:${room.name}`,
    callerName: room.display_name || room.name,
    ...(o.ringTimeoutSeconds === undefined ? {} : { ringTimeoutSeconds: o.ringTimeoutSeconds }),
  });
}
