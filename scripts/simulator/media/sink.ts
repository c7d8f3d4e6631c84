/** Where sound or video of a simulated node goes: a file, or an RTMP connection. */

/** Where sound or video goes while it is recorded. */
export interface Sink {
  readonly bytes: number;
  readonly elapsedMs: number;
  pause(paused: boolean): void;
  close(): void;
}

/** @param failed called when nothing more can be written: a full disk, a closed connection */
export type OpenSink = (opened: (sink: Sink | undefined) => void, failed: () => void) => () => void;
