/** Decides who may enter a room, and how: pure, so that every refusal can be explained and tested. */
import type { ParticipantKind, ParticipantRole } from '../participants/participants.store';

export interface JoinRequest {
  kind: ParticipantKind;
  /** A grant's role; those who dial in get theirs from the PIN. */
  role?: ParticipantRole;
  /** What they pressed; undefined before they were asked. */
  pin?: string;
  /** How many PINs they have given, the present one included. */
  wrongPins: number;
  /** How often they were asked and pressed nothing. */
  silentPrompts: number;
  /** Too many wrong PINs came before, of theirs or for this room. */
  isPinRefused?: boolean;
  /** They were in the session when it moved, and come back. */
  isAwaited: boolean;
}

export interface JoinRules {
  pin?: string;
  moderatorPin?: string;
  locked: boolean;
  maxParticipants: number;
  /** In the room or on the way in, without the one who asks. */
  present: number;
}

export type JoinRefusal = 'locked' | 'full' | 'wrong_pin' | 'no_pin' | 'too_many_pins' | 'over_quota';
export type JoinDecision =
  { do: 'enter'; role: ParticipantRole } | { do: 'ask_pin' } | { do: 'refuse'; reason: JoinRefusal };

/** A PIN can be guessed: after so many the caller has to call again. */
const PIN_TRIES = 3;

/** @param equals compares secrets without telling by its time how much was right */
export function decideJoin(
  request: JoinRequest,
  rules: JoinRules,
  equals: (a: string, b: string) => boolean,
): JoinDecision {
  const known = request.isAwaited || request.role !== undefined;
  let role: ParticipantRole = request.role ?? 'participant';
  if (!known && (rules.pin !== undefined || rules.moderatorPin !== undefined)) {
    // Who need not have a PIN comes in as everybody does, and is only not asked for the moderators'.
    if (request.isPinRefused) {
      if (rules.pin !== undefined) return { do: 'refuse', reason: 'too_many_pins' };
    } else if (request.pin === undefined) return { do: 'ask_pin' };
    else if (rules.moderatorPin !== undefined && equals(request.pin, rules.moderatorPin)) role = 'moderator';
    else if (rules.pin === undefined ? request.pin !== '' : !equals(request.pin, rules.pin)) {
      if (request.wrongPins >= PIN_TRIES) return { do: 'refuse', reason: 'wrong_pin' };
      return request.silentPrompts < PIN_TRIES ? { do: 'ask_pin' } : { do: 'refuse', reason: 'no_pin' };
    }
  }
  if (request.isAwaited) return { do: 'enter', role };
  if (rules.locked && role !== 'moderator') return { do: 'refuse', reason: 'locked' };
  if (rules.present >= rules.maxParticipants) return { do: 'refuse', reason: 'full' };
  return { do: 'enter', role };
}

/** What the caller's phone shows, and what the event says in words. */
export const REFUSALS: Record<JoinRefusal, { sipStatus: 403 | 486 | 503; text: string }> = {
  locked: { sipStatus: 403, text: 'The room is locked' },
  full: { sipStatus: 486, text: 'The room is full' },
  over_quota: { sipStatus: 503, text: 'The domain has used up its quota' },
  no_pin: { sipStatus: 403, text: 'No PIN was pressed' },
  wrong_pin: { sipStatus: 403, text: 'The PIN was wrong three times' },
  too_many_pins: { sipStatus: 403, text: 'Too many wrong PINs, try again later' },
};
