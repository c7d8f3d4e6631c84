/** What calls and rooms cost a node, in units: the one model by which they are claimed, counted, and played in what-ifs. */

/**
 * One unit is an audio call of two legs. All other costs are set against it by processor time; a node that says nothing
 * has 100 units and is thought of as two cores, so 50 units are one:
 * - A call is 2 % of a core. That is several times what two G.711 legs need; it leaves room for Opus on one side,
 *   encryption and recording.
 * - A room of mixed video composes and encodes its canvas once for everybody: about a third of a core at 1280 × 720 and
 *   25 frames a second, growing with width × height × frames. Each who sends a snapshot adds what decoding and scaling
 *   it costs: about a tenth of a core.
 * - Video that is passed through is only forwarded: about four times the packets of sound.
 * They are starting values. What a node's machine really reports corrects its capacity: see effective-capacity.ts.
 */
const CANVAS_UNITS = 17;
const CANVAS_PIXELS_A_SECOND = 1280 * 720 * 25;
const MIXED_VIDEO_UNITS = 5;
const PASSED_VIDEO_UNITS = 2;
/** The conference itself, and each who is heard in it: sound is decoded, mixed and encoded. */
const MIXED_AUDIO_UNITS = 1;

/** Two audio legs, bridged. */
export const AUDIO_CALL_UNITS = 1;
/** What is held for somebody who may come, until they do. */
export const RESERVED_UNITS = 1;

export interface Canvas {
  width: number;
  height: number;
  /** Frames a second. */
  fps: number;
}

export interface RoomLoad {
  video: 'none' | 'passed' | 'mixed';
  /** null where no snapshot is mixed. */
  canvas: Canvas | null;
  withVideo: number;
  withoutVideo: number;
}

/** Units of a room with these people in it; of an empty one where there are none. */
export function roomUnits({ video, canvas, withVideo, withoutVideo }: RoomLoad): number {
  const pixelsASecond = video === 'mixed' && canvas ? canvas.width * canvas.height * canvas.fps : 0;
  const mixing = pixelsASecond > 0 ? Math.max(1, (CANVAS_UNITS * pixelsASecond) / CANVAS_PIXELS_A_SECOND) : 0;
  const videoUnits = { none: 0, passed: PASSED_VIDEO_UNITS, mixed: MIXED_VIDEO_UNITS }[video];
  const people = (withVideo + withoutVideo) * MIXED_AUDIO_UNITS + withVideo * videoUnits;
  return Math.round((MIXED_AUDIO_UNITS + mixing + people) * 10) / 10;
}
