/** What a session takes of its node's capacity: by its settings, and by who is in it or on the way in. */
import { RESERVED_UNITS, roomUnits } from '../../nodes/capacity/units';
import type { ParticipantRow } from '../participants/participants.store';
import { isMixed, readSettings } from '../settings';

/** Somebody who is in the room, on the way in, or at its door; `hasVideo` undefined: not known yet. */
export type Weighed = Pick<ParticipantRow, 'observed'>;

/** @param stored a room's settings, as its row or its session's has them */
export function sessionUnits(stored: Record<string, unknown>, people: readonly Weighed[]): number {
  const settings = readSettings(stored);
  // Who is not seen yet counts as sending a video: too much for a moment is better than too little.
  const withVideo = settings.audioOnly ? 0 : people.filter((p) => p.observed.hasVideo !== false).length;
  return roomUnits({
    video: settings.audioOnly ? 'none' : isMixed(settings) ? 'mixed' : 'passed',
    canvas: settings.video,
    withVideo,
    withoutVideo: people.length - withVideo,
  });
}

/** How long what a session held when it moved is still held for those who are on their way back. */
export const RETURN_MS = 20_000;

/**
 * What a session should hold now. One that nobody is in or on the way to holds a place and no more; one that has just
 * moved holds what it held before, until everybody has had time to come back.
 */
export function weigh(
  session: { state: string; settings: Record<string, unknown>; units: string; isMoved: boolean; openedAtMs: number },
  people: readonly Weighed[],
  nowMs: number,
): number {
  const units =
    session.state === 'opening' && people.length === 0 ? RESERVED_UNITS : sessionUnits(session.settings, people);
  const awaited = session.isMoved && nowMs - session.openedAtMs < RETURN_MS;
  return awaited ? Math.max(units, Number(session.units)) : units;
}
