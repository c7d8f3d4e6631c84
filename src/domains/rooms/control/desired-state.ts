/** Compares what is desired for a room with what was seen of it, and says which commands bring them together; pure. */
import {
  clearVideoFloor,
  forceVideoFloor,
  limitVideo,
  lockRoom,
  setBanner,
  setLayer,
  setLayout,
  setReservation,
  setVolume,
  switchMember,
  toggleFloor,
  type ApiCommand,
  type Reply,
} from '../../../freeswitch/esl';
import type { ParticipantObserved, ParticipantRow } from '../participants/participants.store';
import type { SessionObserved, SessionRow } from '../sessions/sessions.store';
import { isMixed, readSettings } from '../settings';

export type DesiredOfParticipant =
  'muted' | 'videoMuted' | 'deaf' | 'volumeIn' | 'volumeOut' | 'layer' | 'reservation' | 'banner' | 'maxVideoKbps';
export type DesiredOfRoom = 'layout' | 'locked' | 'videoFloor' | 'floor';
export type DesiredName = DesiredOfParticipant | DesiredOfRoom;
export type DesiredValue = boolean | number | string | null;

/** Desired changes the node did not fulfil in the tries it was given: left alone until they change, or the person comes again. */
export type FailedChanges = Partial<Record<DesiredName, DesiredValue>>;

/** What was seen of a member, by events, by snapshots, or by the answer where nothing else tells. */
export interface SeenParticipant extends ParticipantObserved {
  volumeIn?: number;
  volumeOut?: number;
  layer?: number | null;
  reservation?: string | null;
  banner?: string | null;
  maxVideoKbps?: number | null;
  failed?: FailedChanges;
}

export interface SeenSession extends SessionObserved {
  failed?: FailedChanges;
}

/** Who has the floor as far as it is known; undefined: not known now. */
export interface SeenFloor {
  audio?: string | null;
  video?: string | null;
  /** The video stays there whoever speaks. */
  videoHeld?: boolean;
}

export interface Difference {
  what: DesiredName;
  /** Null: it is the room's. */
  participantId: string | null;
  wanted: DesiredValue;
  seen: DesiredValue;
  /** Sent at once, one after the other. */
  commands: ApiCommand[];
  /** Instead of those, where they depend on who has the floor at that moment: none where that is as it should be. */
  commandsFor?: (holderId: number | null) => ApiCommand[];
  /** Where no event or listing tells: what the answer to the last command lets be seen, or undefined where it refuses. */
  readReply?: (reply: Reply) => DesiredValue | undefined;
}

type Person = ParticipantRow & { observed: SeenParticipant };
type Session = SessionRow & { observed: SeenSession };

/** All that differs and can be brought about now. Desired changes that were given up are left out. */
export function listDifferences(
  session: SessionRow,
  people: readonly ParticipantRow[],
  floor: SeenFloor,
): Difference[] {
  const inside = people.filter((p) => p.state === 'in' && p.member_id !== null && p.leg_id !== null) as Person[];
  const ofRoom = roomDifferences(session as Session).concat(floorDifferences(session, inside, floor));
  const failed = (session as Session).observed.failed ?? {};
  const hasCanvas = isMixed(readSettings(session.settings));
  return [
    ...ofRoom.filter((d) => !hasFailed(d, failed)),
    ...inside.flatMap((p) =>
      participantDifferences(session, p).filter(
        (d) => !hasFailed(d, p.observed.failed) && (hasCanvas || !ON_CANVAS.has(d.what)),
      ),
    ),
  ];
}

/** Where nothing is mixed these have no place; and `vid-layer` in a room without a canvas ends the whole node (1.10.12). */
const ON_CANVAS: ReadonlySet<string> = new Set(['layer', 'reservation', 'banner', 'maxVideoKbps']);

const hasFailed = (d: Difference, failed: FailedChanges | undefined): boolean =>
  failed !== undefined && Object.hasOwn(failed, d.what) && failed[d.what] === d.wanted;

/** What is desired for them, by name. */
export function desiredOf(p: ParticipantRow): Record<DesiredOfParticipant, DesiredValue> {
  return {
    muted: p.muted,
    videoMuted: p.video_muted,
    deaf: p.deaf,
    volumeIn: p.volume_in,
    volumeOut: p.volume_out,
    // Before the layer: to take or to give back a reservation takes them out of the layer they are in.
    reservation: p.reservation,
    layer: p.layer,
    banner: p.banner,
    maxVideoKbps: p.max_video_kbps,
  };
}

/** What a member is who has just come in and of whom nothing else was told. */
const AT_FIRST: Record<DesiredOfParticipant, DesiredValue> = {
  muted: false,
  videoMuted: false,
  deaf: false,
  volumeIn: 0,
  volumeOut: 0,
  layer: null,
  reservation: null,
  banner: null,
  maxVideoKbps: null,
};

const OF_VIDEO: ReadonlySet<DesiredOfParticipant> = new Set([
  'videoMuted',
  'layer',
  'reservation',
  'banner',
  'maxVideoKbps',
]);

function participantDifferences({ id: sessionId, settings }: SessionRow, p: Person): Difference[] {
  const { maxKbps, participantKbps } = readSettings(settings).video;
  const desired = { ...desiredOf(p), maxVideoKbps: p.max_video_kbps ?? participantKbps };
  return (Object.keys(desired) as DesiredOfParticipant[]).flatMap((what) => {
    const wanted = desired[what];
    const seen = p.observed[what] ?? AT_FIRST[what];
    if (wanted === seen) return [];
    if (OF_VIDEO.has(what) && p.observed.hasVideo !== true) return [];
    return [{ what, participantId: p.id, wanted, seen, ...wayTo({ sessionId, maxKbps }, p, what, wanted) }];
  });
}

function wayTo(
  { sessionId, maxKbps }: { sessionId: string; maxKbps: number },
  p: Person,
  what: DesiredOfParticipant,
  wanted: DesiredValue,
): Pick<Difference, 'commands' | 'readReply'> {
  const member = p.member_id!;
  const on = wanted === true;
  const ifOk = (reply: Reply): DesiredValue | undefined => (reply.ok ? wanted : undefined);
  switch (what) {
    case 'muted':
      return { commands: [switchMember(sessionId, member, on ? 'mute' : 'unmute')] };
    case 'videoMuted':
      return { commands: [switchMember(sessionId, member, on ? 'vmute' : 'unvmute')] };
    case 'deaf':
      return { commands: [switchMember(sessionId, member, on ? 'deaf' : 'undeaf')] };
    case 'volumeIn':
      return { commands: [setVolume(sessionId, member, 'in', Number(wanted))] };
    case 'volumeOut':
      return { commands: [setVolume(sessionId, member, 'out', Number(wanted))] };
    case 'layer':
      // No command gives a layer back. A reservation that is given back, or said again, takes them out of it.
      return wanted === null
        ? { commands: [setReservation(sessionId, member, p.reservation)], readReply: ifOk }
        : { commands: [setLayer(sessionId, member, Number(wanted))], readReply: readLayer };
    case 'reservation':
      return { commands: [setReservation(sessionId, member, wanted as string | null)], readReply: ifOk };
    case 'banner':
      return { commands: [setBanner(sessionId, member, wanted as string | null)], readReply: ifOk };
    case 'maxVideoKbps': {
      // Who may have as much as all others shares their encoder.
      const limit = typeof wanted === 'number' && wanted < maxKbps ? wanted : null;
      return { commands: limitVideo(sessionId, member, limit), readReply: ifOk };
    }
  }
}

/** `+OK layer 2`: the layer it has now, which may be another one than was asked for. */
function readLayer(reply: Reply): DesiredValue | undefined {
  const layer = /^layer (\d+)$/.exec(reply.ok ? reply.text.trim() : '')?.[1];
  return layer === undefined ? undefined : Number(layer);
}

function roomDifferences(session: Session): Difference[] {
  const found: Difference[] = [];
  const { layout, locked, observed } = session;
  if (locked !== (observed.locked ?? false)) {
    found.push({
      what: 'locked',
      participantId: null,
      wanted: locked,
      seen: observed.locked ?? false,
      commands: [lockRoom(session.id, locked)],
    });
  }
  if (layout !== null && layout !== observed.layout) {
    found.push({
      what: 'layout',
      participantId: null,
      wanted: layout,
      seen: observed.layout ?? null,
      commands: [setLayout(session.id, layout)],
      readReply: (reply) => readLayout(reply, layout),
    });
  }
  return found;
}

/** `+OK Change canvas 1 to layout [2x2]`, `+OK Change to layout group [grid]`; an unknown group says `[]` with +OK. */
export function readLayout(reply: Reply, layout: string): string | undefined {
  const name = layout.replace(/^group:/, '');
  return reply.ok && reply.text.includes(`[${name}]`) ? layout : undefined;
}

/** The floors that are held for somebody who is here and does not have them. */
function floorDifferences(session: SessionRow, inside: readonly Person[], floor: SeenFloor): Difference[] {
  const find = (id: string | null | undefined) => inside.find((p) => p.id === id);
  const found: Difference[] = [];
  const viewed = find(session.video_floor_participant_id);
  const isElsewhere = floor.video !== undefined && (floor.video !== viewed?.id || floor.videoHeld === false);
  if (viewed?.observed.hasVideo === true && isElsewhere) {
    found.push({
      what: 'videoFloor',
      participantId: viewed.id,
      wanted: viewed.id,
      seen: floor.video ?? null,
      commands: moveVideoFloor(session.id, viewed.member_id!),
    });
  }
  const heard = find(session.floor_participant_id);
  if (heard && floor.audio !== undefined && floor.audio !== heard.id) {
    found.push({
      what: 'floor',
      participantId: heard.id,
      wanted: heard.id,
      seen: floor.audio,
      commands: moveFloor(session.id, heard.member_id!, find(floor.audio)?.member_id ?? null),
      commandsFor: (holderId) =>
        holderId === heard.member_id ? [] : moveFloor(session.id, heard.member_id!, holderId),
    });
  }
  return found;
}

export const moveVideoFloor = (sessionId: string, memberId: number): ApiCommand[] => [
  clearVideoFloor(sessionId),
  forceVideoFloor(sessionId, memberId),
];

export const moveFloor = (sessionId: string, memberId: number, holderId: number | null): ApiCommand[] => [
  ...(holderId === null || holderId === memberId ? [] : [toggleFloor(sessionId, holderId)]),
  toggleFloor(sessionId, memberId),
];

/** How often a desired change is tried before it is given up, and how long is waited after each try. */
export const MAX_TRIES = 5;
const PAUSES_MS = [500, 1000, 2000, 4000, 4000];

/** What was done for a desired change so far. */
export interface Attempt {
  wanted: DesiredValue;
  tries: number;
  lastAtMs: number;
}

export type NextStep = { do: 'try' } | { do: 'wait'; untilMs: number } | { do: 'give_up'; tries: number };

/** @param attempt undefined where nothing was tried yet; one for another value counts as none */
export function nextStep(wanted: DesiredValue, attempt: Attempt | undefined, nowMs: number): NextStep {
  if (!attempt || attempt.wanted !== wanted) return { do: 'try' };
  const untilMs = attempt.lastAtMs + PAUSES_MS[Math.min(attempt.tries, PAUSES_MS.length) - 1]!;
  if (nowMs < untilMs) return { do: 'wait', untilMs };
  return attempt.tries >= MAX_TRIES ? { do: 'give_up', tries: attempt.tries } : { do: 'try' };
}
