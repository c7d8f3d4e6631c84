/** How much one RTMP connection may ask us to read and to keep: the written list that both relay ends are held to. */

/** The protocol's own first size, and the least it recommends: a smaller one only multiplies headers (RTMP 1.0, 5.4.1). */
export const MIN_CHUNK_SIZE = 128;
/** No chunk is larger than a message, and no message has a longer length: the specification reads larger sizes as this. */
export const MAX_CHUNK_SIZE = 0xffffff;
/** ffmpeg, OBS and FreeSWITCH use up to five. */
export const MAX_CHUNK_STREAMS = 8;

/** What a reader takes in; see `UNNAMED`, `SOURCE` and `TARGET`. */
export interface ReadLimits {
  /** A command, or data about the stream. */
  readonly maxCommandBytes: number;
  /** Sound or video. */
  readonly maxMediaBytes: number;
  /** All messages that are begun and not yet whole. */
  readonly maxOpenBytes: number;
}

/** Somebody at the RTMP listener who has named no stream that is expected: a handshake and five short commands. */
export const UNNAMED: ReadLimits = { maxCommandBytes: 4096, maxMediaBytes: 0, maxOpenBytes: 8192 };
/** All that is read of it, the handshake's 3,073 bytes included. */
export const MAX_UNNAMED_BYTES = 16 * 1024;

/** A node that sends a room: the largest canvas is 1920x1080, whose key frames stay well below 4 MB. */
export const SOURCE: ReadLimits = {
  maxCommandBytes: 1024 * 1024,
  maxMediaBytes: 4 * 1024 * 1024,
  maxOpenBytes: 6 * 1024 * 1024,
};

/** A relay's target: it answers our commands, and has no reason to send sound or video. */
export const TARGET: ReadLimits = { maxCommandBytes: 64 * 1024, maxMediaBytes: 64 * 1024, maxOpenBytes: 256 * 1024 };
/** What a target may say: so much, and an eighth of what it was sent (it acknowledges 4,096 bytes with 16). */
export const targetMaySay = (givenBytes: number): number => 256 * 1024 + givenBytes / 8;

/** Answers that are asked for wait unsent up to this: who asks on without reading is not answered any more. */
export const MAX_WAITING_ANSWERS = 64 * 1024;
