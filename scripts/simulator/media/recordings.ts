/** Writes rooms and calls into files that really grow, or to an address that is really connected to — and fails as a node does. */
import { type Sink, type OpenSink } from './sink';
import { appendFileSync, closeSync, existsSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import type { NodeContext } from '../node-context';
import { mp4Head, mp4Index } from './mp4-file';
import { sendRoomEvent } from '../conference/events';
import { openConnection } from './rtmp-send';
import type { Recording, Room } from '../conference/room';
import { soundBlock, toneIn } from './tones';

const OPEN_AFTER_MS = 10;
const GROW_EVERY_MS = 200;
/** A mixed video with sound; FreeSWITCH's own figure depends on what is seen. */
const VIDEO_BYTES_A_SECOND = 40_000;
/** @param tone what is heard there, at the moment it is asked @returns what to call to give up before it is open */
export function openSink(
  node: NodeContext,
  target: string,
  rate: number,
  video: boolean,
  tone: () => number | undefined = () => undefined,
): OpenSink {
  return (opened, failed) => {
    if (/^rtmps?:\/\//.test(target)) return openConnection(node, target, opened, failed);
    return node.later(OPEN_AFTER_MS, () => opened(openFile(node, target, rate, video, failed, tone)));
  };
}

function openFile(
  node: NodeContext,
  path: string,
  rate: number,
  video: boolean,
  failed: () => void,
  tone: () => number | undefined,
): Sink | undefined {
  if (node.faults.diskFull || !node.disk.owns(path) || !node.hasFormatOf(path)) return undefined;
  const wav = path.endsWith('.wav');
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, wav ? wavHead(rate, 0) : mp4Head());
  } catch {
    return undefined;
  }
  const aSecond = video && !wav ? VIDEO_BYTES_A_SECOND : rate * 2;
  let bytes = wav ? 44 : 48;
  let runMs = 0;
  let lastMs = node.clock();
  let paused = false;
  let open = true;
  let stopTimer = (): void => undefined;
  const grow = (): void => {
    const now = node.clock();
    const passed = now - lastMs;
    lastMs = now;
    if (paused) return;
    runMs += passed;
    if (node.faults.recordingsStalled) return;
    const size = Math.floor((passed * aSecond) / 2000) * 2;
    const block = wav ? soundBlock(size, rate, tone(), (bytes - 44) / 2) : Buffer.alloc(size, 0x11);
    try {
      appendFileSync(path, block);
      bytes += block.length;
    } catch {
      failed();
    }
  };
  const tick = (): void => {
    stopTimer = node.later(GROW_EVERY_MS, () => {
      if (!open) return;
      if (node.faults.diskFull) return failed();
      grow();
      if (open) tick();
    });
  };
  tick();
  return {
    get bytes() {
      return bytes;
    },
    get elapsedMs() {
      return runMs;
    },
    pause(value) {
      grow();
      paused = value;
    },
    close() {
      if (!open) return;
      if (!node.faults.diskFull) grow();
      open = false;
      stopTimer();
      if (wav) return rewriteHead(path, wavHead(rate, bytes - 44));
      // On a full disk there is no place for the index.
      if (node.faults.diskFull || !existsSync(path)) return;
      rewriteHead(path, mp4Head(bytes - 48));
      const index = mp4Index(runMs, Math.ceil(runMs / 20));
      appendFileSync(path, index);
      bytes += index.length;
    },
  };
}

function rewriteHead(path: string, head: Buffer): void {
  try {
    const file = openSync(path, 'r+');
    writeSync(file, head, 0, head.length, 0);
    closeSync(file);
  } catch {
    return; // somebody took the file away meanwhile: a real node does not notice either
  }
}

function wavHead(rate: number, bytes: number): Buffer {
  const head = Buffer.alloc(44);
  head.write('RIFF', 0, 'latin1');
  head.writeUInt32LE(36 + bytes, 4);
  head.write('WAVEfmt ', 8, 'latin1');
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(rate, 24);
  head.writeUInt32LE(rate * 2, 28);
  head.writeUInt16LE(2, 32);
  head.writeUInt16LE(16, 34);
  head.write('data', 36, 'latin1');
  head.writeUInt32LE(bytes, 40);
  return head;
}

/** Starts a thread, as FreeSWITCH does: whether it works is told later, by an event. */
export function startRecording(node: NodeContext, room: Room, asked: string, nextId: () => number): void {
  const rate = Number(room.profile.rate) || 8000;
  const c = room.canvas;
  const parameters = c
    ? `{video_time_audio=false,channels=1,samplerate=${rate},vw=${c.width},vh=${c.height},fps=${c.fps.toFixed(2)}}`
    : '';
  const recording: Recording = {
    asked,
    path: parameters + asked,
    startedMs: node.clock(),
    paused: false,
    running: false,
    listed: true,
    pause: () => undefined,
    stop: () => undefined,
  };
  room.recordings.unshift(recording);
  nextId();
  let sink: Sink | undefined;
  let over = false;
  const end = (): void => {
    if (over) return;
    over = true;
    sink?.close();
    giveUp();
    // FreeSWITCH 1.10.12 takes those begun after it from its own list as well: `check` no longer knows them.
    for (const later of room.recordings.slice(0, room.recordings.indexOf(recording))) later.listed = false;
    room.recordings = room.recordings.filter((r) => r !== recording);
    sendRoomEvent(node, room, 'stop-recording', {
      Path: recording.path,
      'Other-Recordings': String(room.recordings.length > 0),
      'Samples-Out': String(Math.floor(((sink?.elapsedMs ?? 0) * rate) / 1000)),
      Samplerate: String(rate),
      'Milliseconds-Elapsed': String(Math.floor(sink?.elapsedMs ?? 0)),
      ...(sink && sink.bytes > 0 && c ? { 'Record-File-Size': String(sink.bytes) } : {}),
    });
  };
  recording.stop = end;
  recording.pause = (paused) => {
    recording.paused = paused;
    sink?.pause(paused);
  };
  const giveUp = openSink(node, asked.replace(/^(\{[^}]*\}\s*)+/, ''), rate, c !== undefined, () => toneIn(node, room))(
    (opened) => {
      if (over) return opened?.close();
      sink = opened;
      recording.running = opened !== undefined;
      sendRoomEvent(node, room, 'start-recording', {
        Path: recording.path,
        ...(opened ? {} : { Error: 'File could not be opened for recording' }),
      });
      if (!opened) end();
    },
    end,
  );
}
