/** What calls and rooms cost a node, in units, so that audio and mixed video are held against one capacity. */

/**
 * One unit is an audio call of two legs. All other costs are set against it by processor time:
 * - A node that says nothing has 100 units, and is thought of as two cores: 50 units to a core, so a call is 2 % of one.
 *   That is several times what two G.711 legs need; it leaves room for Opus on one side, encryption and recording.
 * - A participant of a mixed room with a 1280 × 720 picture at 30 frames costs about half a core: 25 units. It is
 *   mostly scaling, drawing and coding of pixels, so it grows with width × height × frames a second. Of it, one fifth
 *   is taken to be the participant's own (decoding, scaling into a cell), whatever the canvas is, at a fixed 360p.
 * - Video that is passed through is only forwarded: about four times the packets of sound, so four times an audio leg.
 * They are starting values. What a node's machine really reports corrects its capacity: see calibrate.ts.
 */
const UNITS_PER_CORE = 50;
const MIXED_PARTICIPANT_CORES = 0.5;
const OWN_SHARE = 0.2;
const REFERENCE_PIXELS_A_SECOND = 1280 * 720 * 30;

export const AUDIO_LEG_UNITS = 0.5;
/** Two audio legs, bridged. */
export const AUDIO_CALL_UNITS = 2 * AUDIO_LEG_UNITS;
/** On top of the leg's audio. */
export const PASSED_VIDEO_LEG_UNITS = 4 * AUDIO_LEG_UNITS;
/** A leg in a mixed room: its sound is decoded, mixed and coded, where a bridged one's is often only forwarded. */
export const MIXED_AUDIO_LEG_UNITS = 2 * AUDIO_LEG_UNITS;

export interface Canvas {
  width: number;
  height: number;
  /** Frames a second. */
  fps: number;
}

const MIXED_UNITS = UNITS_PER_CORE * MIXED_PARTICIPANT_CORES;
const round = (units: number): number => Math.round(units * 100) / 100;

/** Units of one participant with picture in a mixed room, audio included. */
export function mixedParticipantUnits(canvas: Canvas): number {
  const scale = (canvas.width * canvas.height * canvas.fps) / REFERENCE_PIXELS_A_SECOND;
  return round(MIXED_AUDIO_LEG_UNITS + MIXED_UNITS * (OWN_SHARE + (1 - OWN_SHARE) * scale));
}

/** Units of a call of two legs. */
export function callUnits(o: { video: boolean }): number {
  return AUDIO_CALL_UNITS + (o.video ? 2 * PASSED_VIDEO_LEG_UNITS : 0);
}

/** Units of a room: `canvas` null where there is no picture, or pictures are passed through by their senders' choice. */
export function roomUnits(o: {
  participants: number;
  video: 'none' | 'passed' | 'mixed';
  canvas: Canvas | null;
}): number {
  if (o.video === 'mixed' && o.canvas) return round(o.participants * mixedParticipantUnits(o.canvas));
  const each = MIXED_AUDIO_LEG_UNITS + (o.video === 'passed' ? PASSED_VIDEO_LEG_UNITS : 0);
  return round(o.participants * each);
}
