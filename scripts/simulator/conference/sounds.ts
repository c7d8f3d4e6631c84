/** What plays in a room: files and tones one after the other, one more beside them, and to single members. */
import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs';
import type { NodeContext } from '../node-context';
import { sendSoundEvent } from './events';
import type { Member, Room, Sound } from './room';

/** What a file plays whose length nobody can tell from its head. */
const UNKNOWN_MS = 1000;
/** Spoken text; a node without a voice says nothing of it. */
const MS_A_CHARACTER = 60;
/** A timer of Node.js holds 24 days: enough for "for ever". */
const FOR_EVER_MS = 2_000_000_000;

/** How long it plays. @returns undefined where there is no such file */
export function soundLengthMs(source: string): number | undefined {
  const { loops, path } = loopsOf(source);
  const once = onceMs(path);
  if (once === undefined) return undefined;
  return loops < 0 ? FOR_EVER_MS : Math.min(FOR_EVER_MS, once * Math.max(1, loops));
}

/** `{loops=2}x` and `x;loops=2` (tones). */
function loopsOf(source: string): { loops: number; path: string } {
  const path = source.replace(/^(\{[^}]*\}\s*)+/, '');
  const said = /(?:^\{|[,;{])loops=(-?\d+|inf)/.exec(source)?.[1];
  return { loops: said === undefined ? 1 : said === 'inf' ? -1 : Number(said), path: path.replace(/;loops=-?\d+/, '') };
}

function onceMs(path: string): number | undefined {
  if (path.startsWith('silence_stream://')) {
    const ms = Number(/\d+/.exec(path)?.[0] ?? -1);
    return /:\/\/-1/.test(path) ? FOR_EVER_MS : ms;
  }
  if (path.startsWith('tone_stream://')) {
    const tones = [...path.matchAll(/%\((\d+),\s*(\d+)/g)];
    return tones.reduce((sum, [, on, off]) => sum + Number(on) + Number(off), 0) || UNKNOWN_MS;
  }
  if (path.startsWith('file_string://')) {
    const parts = path.slice(14).split('!').map(onceMs);
    return parts.some((p) => p === undefined) ? undefined : parts.reduce<number>((sum, p) => sum + p!, 0);
  }
  if (/^\w+:\/\//.test(path)) return UNKNOWN_MS;
  if (!existsSync(path)) return undefined;
  return wavMs(path) ?? UNKNOWN_MS;
}

function wavMs(path: string): number | undefined {
  const file = openSync(path, 'r');
  try {
    const head = Buffer.alloc(44);
    if (readSync(file, head, 0, 44, 0) < 44 || head.toString('latin1', 0, 4) !== 'RIFF') return undefined;
    const bytesASecond = head.readUInt32LE(28);
    return bytesASecond > 0 ? ((fstatSync(file).size - 44) / bytesASecond) * 1000 : undefined;
  } finally {
    closeSync(file);
  }
}

export interface PlayOptions {
  async?: boolean;
  member?: Member;
  speech?: boolean;
  /** Music of the room's own is not told when it is cut off. */
  silent?: boolean;
}

/** @returns false where there is no such file */
export function playInRoom(node: NodeContext, room: Room, file: string, o: PlayOptions = {}): boolean {
  const durationMs = o.speech ? file.length * MS_A_CHARACTER : soundLengthMs(file);
  if (durationMs === undefined) return false;
  const sound: Sound = {
    file,
    async: o.async === true,
    speech: o.speech === true,
    memberId: o.member?.id ?? 0,
    startedMs: -1,
    paused: false,
    durationMs,
    stopTimer: () => undefined,
  };
  if (sound.async) {
    const before = room.background;
    room.background = sound;
    if (before) finish(node, room, before, o.member);
    start(node, room, sound, undefined);
    return true;
  }
  const queue = queueOf(room, o.member);
  queue.push(sound);
  if (queue.length === 1) start(node, room, sound, o.member);
  return true;
}

function queueOf(room: Room, m: Member | undefined): Sound[] {
  if (!m) return room.playing;
  const queue = room.playingTo.get(m.id) ?? [];
  room.playingTo.set(m.id, queue);
  return queue;
}

function start(node: NodeContext, room: Room, sound: Sound, m: Member | undefined): void {
  sound.startedMs = node.clock();
  sound.stopTimer = node.later(sound.durationMs, () => over(node, room, sound, m));
}

function over(node: NodeContext, room: Room, sound: Sound, m: Member | undefined): void {
  if (room.background === sound) {
    room.background = undefined;
    return finish(node, room, sound, m);
  }
  const queue = queueOf(room, m);
  const at = queue.indexOf(sound);
  if (at < 0) return;
  queue.splice(at, 1);
  finish(node, room, sound, m);
  const next = queue[0];
  if (m && !next) room.playingTo.delete(m.id);
  if (at === 0 && next) start(node, room, next, m);
}

function finish(node: NodeContext, room: Room, sound: Sound, m: Member | undefined): void {
  sound.stopTimer();
  if (sound.speech) return;
  const ms = sound.startedMs < 0 ? 0 : Math.min(sound.durationMs, node.clock() - sound.startedMs);
  const rate = Number(room.profile.rate) || 8000;
  sendSoundEvent(
    node,
    room,
    sound.memberId > 0 ? m : undefined,
    {
      seconds: String(Math.floor(ms / 1000)),
      milliseconds: String(Math.floor(ms)),
      samples: String(Math.floor((ms * rate) / 1000)),
      Action: sound.memberId > 0 ? 'play-file-member-done' : 'play-file-done',
    },
    { File: sound.file, ...(sound.async ? { Async: 'true' } : {}) },
  );
}

/** @returns how many it stopped; their ends are told a frame later, as on a real node */
export function stopSounds(node: NodeContext, room: Room, which: 'all' | 'async' | 'current', m?: Member): number {
  const queue = m ? (room.playingTo.get(m.id) ?? []) : room.playing;
  const stopped = which === 'all' ? [...queue] : which === 'current' ? queue.slice(0, 1) : [];
  const background = !m && which !== 'current' ? room.background : undefined;
  for (const sound of stopped) {
    queue.splice(queue.indexOf(sound), 1);
    finish(node, room, sound, m);
  }
  if (background) {
    room.background = undefined;
    finish(node, room, background, undefined);
  }
  const next = queue[0];
  if (stopped.length > 0 && next) start(node, room, next, m);
  if (m && queue.length === 0) room.playingTo.delete(m.id);
  return stopped.length + (background ? 1 : 0);
}
