/** Commands on a whole room, in mod_conference's words. */
import type { CommandAnswer, RoomCommand } from './desk';
import { existsSync, writeFileSync } from 'node:fs';
import { startRecording } from '../../media/recordings';
import { drawImage, fpsAsKept, parseSize } from '../canvas';
import { sendMemberEvent, sendRoomEvent } from '../events';
import { playInRoom, stopSounds } from '../sounds';
import { hasVideo, memberOf, type Room } from '../room';
import { GET, SET } from '../parameters';
import { SOUND_SETTINGS } from './sound-commands';

const NOT_MIXING: CommandAnswer = { text: '-ERR Conference is not in mixing mode\n' };
const said = (text: string): CommandAnswer => ({ text });
const wrong = (text = ''): CommandAnswer => ({ text, usage: true });

function locking(word: 'lock' | 'unlock'): RoomCommand {
  return {
    usage: '',
    run({ node }, room) {
      room.locked = word === 'lock';
      sendRoomEvent(node, room, word);
      return said(`+OK ${room.name} ${word}ed\n`);
    },
  };
}

const play: RoomCommand = {
  usage: '<file_path> [async|<member_id> [nomux]]',
  run({ node }, room, [file, target]) {
    if (file === undefined) return wrong();
    const notFound = said(`-ERR (play) File: ${file} not found.\n`);
    if (target === undefined || target === 'async') {
      const async = target === 'async';
      const told = { File: file, Async: String(async) };
      if (!playInRoom(node, room, file, { async })) {
        sendRoomEvent(node, room, 'play-file', { ...told, Error: 'File could not be played' });
        return notFound;
      }
      sendRoomEvent(node, room, 'play-file', told);
      return said(`+OK (play) Playing file ${file}\n`);
    }
    const m = memberOf(room, Number(target));
    if (!m) return wrong(`-ERR Member: ${target} not found.\n`);
    if (/^say:/i.test(file) && !room.profile['tts-engine']) {
      node.crash(`say: to a member of ${room.name}, which has no voice`); // it reads a file it never opened
      return said('');
    }
    if (!playInRoom(node, room, file, { member: m })) return notFound;
    sendMemberEvent(node, room, m, 'play-file-member', { File: file });
    return said(`+OK (play) Playing file ${file} to member ${m.id}\n`);
  },
};

const stop: RoomCommand = {
  usage: '<[current|all|async|last]> [<member_id>]',
  run({ node }, room, [which = 'all', id]) {
    if (which !== 'all' && which !== 'async' && which !== 'current') return wrong();
    const m = id === undefined ? undefined : memberOf(room, Number(id));
    if (id !== undefined && !m) return said(`-ERR Member: ${id} not found.\n`);
    return said(`+OK Stopped ${stopSounds(node, room, which, m)} files.\n`);
  },
};

/** Needs a voice of the room's profile; to one member FreeSWITCH says +OK without one. */
const say: RoomCommand = {
  usage: '<text>',
  run({ node }, room, _words, text) {
    if (text === '') return wrong('-ERR (say) Error! No text.\n');
    if (!room.profile['tts-engine']) return wrong('-ERR (say) Error!\n');
    playInRoom(node, room, text, { speech: true });
    sendRoomEvent(node, room, 'speak-text', { Text: text });
    return said('+OK (say) OK\n');
  },
};

const sayToOne: RoomCommand = {
  usage: '<member_id> <text>',
  run({ node }, room, _words, text) {
    const [, id, words] = /^(\S*)\s*(.*)$/s.exec(text) ?? [];
    if (!id) return wrong('-ERR (saymember) No Text!\n');
    const m = memberOf(room, Number(id));
    if (!m) return wrong(`-ERR (saymember) Unknown Member ${id}!\n`);
    sendMemberEvent(node, room, m, 'speak-text-member', { Text: words || id });
    return said('+OK (saymember) OK\n');
  },
};

const recording: RoomCommand = {
  usage: '[start|stop|check|pause|resume] [<filename>|all]',
  run({ node, rooms }, room, [step, path]) {
    if (step === undefined) return wrong();
    if (step === 'check') return said(checked(room, path ?? 'all'));
    if (step === 'stop') return said(stopped(room, path ?? 'all'));
    if (path === undefined || step === 'start') return said(started());
    if (step === 'pause' || step === 'resume') {
      const word = step === 'pause' ? 'Pause' : 'Resume';
      const found = room.recordings.find((r) => r.running && r.asked === path);
      if (!found) return said(`+OK ${word} recording file ${path}\n-ERR non-existant recording '${path}'\n`);
      found.pause(step === 'pause');
      sendRoomEvent(node, room, `${step}-recording`, { Path: path, 'Other-Recordings': 'true' });
      return said(`+OK ${word} recording file ${path}\n`);
    }
    return wrong();

    function started(): string {
      const target = path ?? step!;
      const used = room.recordings.find((r) => r.listed && r.asked === target);
      if (used) return `-ERR file [${used.path}] is already being used for recording.\n`;
      startRecording(node, room, target, rooms.nextId);
      return `+OK Record file ${target}${room.canvas ? ' canvas 1' : ''}\n`;
    }
  },
};

function checked(room: Room, path: string): string {
  const found = room.recordings.filter((r) => r.listed && (path === 'all' || r.path === path));
  if (found.length === 0) return '-ERR Conference is not being recorded.\n';
  return found.map((r) => `+OK Record file ${r.path}\n`).join('');
}

/** FreeSWITCH counts before the thread has ended: it says 0 for all it stopped. */
function stopped(room: Room, path: string): string {
  const found = room.recordings.filter((r) => r.running && (path === 'all' || r.asked === path));
  for (const r of found) r.stop();
  const lines = found.map((r) => `Stopped recording file ${r.asked}\n`).join('');
  const missing = found.length === 0 && path !== 'all' ? `-ERR non-existant recording '${path}'\n` : '';
  return `${lines}${missing}+OK Stopped recording 0 files\n`;
}

const layout: RoomCommand = {
  usage: '<layout name>|group <group name> [<canvas id>]',
  run(_desk, room, [name, second]) {
    if (name === undefined) return said('-ERR Invalid input\n');
    const c = room.canvas;
    if (!c) return NOT_MIXING;
    if (name === 'list') return said([...c.layouts.keys()].map((l) => `${l}\n`).join(''));
    if (/^group/i.test(name)) {
      const group = name.includes(':') ? name.slice(name.indexOf(':') + 1) : second;
      if (group === undefined) return said('-ERR Group name not specified.\n');
      if (!c.groups.has(group)) return said(`+OK Change to layout group []\n-ERR Invalid layout [${name}]\n`);
      Object.assign(c, { group, layout: '' });
      return said(`+OK Change to layout group [${group}]\n`);
    }
    if (!c.layouts.has(name)) return said(`-ERR Invalid layout [${name}]\n`);
    Object.assign(c, { group: undefined, layout: name });
    return said(`+OK Change canvas 1 to layout [${name}]\n`);
  },
};

/** An image behind or over the tiles: it is read at once, and `clear` says -ERR whatever it did. */
function image(what: string): RoomCommand {
  return {
    usage: '<file> | clear [<canvas-id>]',
    run({ node }, room, [path]) {
      if (path === undefined) return said('-ERR Invalid input\n');
      if (!room.canvas) return said('-ERR Invalid canvas\n');
      const isThere = path !== 'clear' && node.disk.owns(path) && existsSync(path);
      return said(isThere ? `+OK Set ${what} ${path}\n` : `-ERR Error Setting ${what} ${path}\n`);
    },
  };
}

const MIN_SIDE = 16;
const MAX_SIDE = 8192;

const IMAGE_COMMANDS: Record<string, RoomCommand> = {
  'vid-layout': layout,
  'vid-write-png': {
    usage: '<path>',
    run({ node }, room, [path]) {
      if (path === undefined) return said('-ERR Invalid input\n');
      if (!room.canvas) return NOT_MIXING;
      if (!node.disk.owns(path) || node.faults.diskFull) return said('-ERR\n');
      try {
        writeFileSync(
          path,
          drawImage(room.canvas, room.members.filter((m) => hasVideo(m.channel) && m.canBeSeen).length),
        );
      } catch {
        return said('-ERR\n');
      }
      return said('+OK\n');
    },
  },
  'vid-bgimg': image('Bgimg'),
  'vid-fgimg': image('FGimg'),
  'vid-fps': {
    usage: '<fps>',
    run(_desk, room, [value]) {
      if (!room.canvas) return NOT_MIXING;
      if (value === undefined) return said(`+OK Current FPS [${room.canvas.fps.toFixed(2)}]\n`);
      const fps = fpsAsKept(Number(value));
      if (fps === undefined) return said(`-ERR Invalid FPS [${value}]\n`);
      room.canvas.fps = fps;
      return said(`+OK FPS set to [${fps.toFixed(2)}]\n`);
    },
  },
  'vid-res': {
    usage: '<WxH>',
    run(_desk, room, [value = '']) {
      if (!room.canvas) return NOT_MIXING;
      const size = parseSize(value);
      if (!size) return said('-ERR Invalid size\n');
      const [width, height] = size;
      if (width < MIN_SIDE || height < MIN_SIDE) return said(`-ERR Invalid size, [${value}] is too small\n`);
      if (width > MAX_SIDE || height > MAX_SIDE) return said(`-ERR Invalid size, [${value}] is too large.\n`);
      Object.assign(room.canvas, { width, height });
      return said(`+OK Resolution set to [${value}]\n`);
    },
  },
  'vid-bandwidth': {
    usage: '<BW>',
    run(_desk, room, [value]) {
      if (value === undefined) return said('-ERR Invalid input\n');
      const kbps = kilobits(value);
      const lines = room.members
        .filter((m) => hasVideo(m.channel))
        .map((m) => `+OK Set Bandwidth ${kbps} kps for member ${m.channel.channelName}\n`);
      return said(`${lines.join('')}-ERR Bandwidth not set\n`); // of the canvas, where none is named
    },
  },
  'vid-res-id': {
    usage: '<member_id>|all <val>|clear [force]',
    run(_desk, room, [target = '', value = 'clear']) {
      const cleared = value === 'clear';
      const all = target === 'all' && cleared;
      const m = memberOf(room, Number(target));
      if (!all && !m) return wrong();
      if (!room.canvas) return said('');
      for (const one of all ? room.members : [m!]) one.reservation = cleared ? undefined : value;
      return said(cleared ? '+OK reservation_id cleared\n' : `+OK reservation_id ${value}\n`);
    },
  },
  'clear-vid-floor': {
    usage: '',
    run(_desk, room) {
      room.videoFloorLocked = false;
      return said('+OK floor Cleared\n');
    },
  },
};

function kilobits(text: string): number {
  const [, value = '0', unit = ''] = /^([\d.]+)\s*([a-z]*)/i.exec(text) ?? [];
  return Math.floor(Number(value) * (/^m/i.test(unit) ? 1024 : 1));
}

export const ROOM_COMMANDS: Readonly<Record<string, RoomCommand>> = {
  ...SOUND_SETTINGS,
  lock: locking('lock'),
  unlock: locking('unlock'),
  play,
  stop,
  say,
  saymember: sayToOne,
  recording,
  ...IMAGE_COMMANDS,
  get: {
    usage: '<parameter-name>',
    run({ node }, room, [name = '', ...more]) {
      const read = GET[name.toLowerCase()];
      return read && more.length === 0 ? said(read(node, room)) : wrong();
    },
  },
  set: {
    usage: '<max_members|sound_prefix|caller_id_name|caller_id_number|endconference_grace_time> <value>',
    run(_desk, room, [name = '', value = '', ...more]) {
      const write = value === '' || more.length > 0 ? undefined : SET[name.toLowerCase()];
      const before = write?.(room, value);
      return before === undefined ? wrong() : said(before);
    },
  },
  getvar: { usage: '<varname>', run: (_desk, room, [name = '']) => said(room.variables.get(name) ?? '') },
  setvar: {
    usage: '<varname> <value>',
    run(_desk, room, [name, value]) {
      if (!name || value === undefined) return wrong();
      room.variables.set(name, value);
      return said('+OK\n');
    },
  },
  transfer: {
    usage: '<conference_name> <member id> [...<member id>]',
    run(desk, room, [to, ...ids]) {
      if (!to || ids.length === 0) return wrong();
      const lines = ids.map((id) => {
        const m = memberOf(room, Number(id));
        if (!m) return `-ERR No Member ${id} in conference ${room.name}.\n`;
        sendMemberEvent(desk.node, room, m, 'transfer', {
          'Old-Conference-Name': room.name,
          'New-Conference-Name': to,
        });
        desk.transfer(m, to.includes('@') ? to : `${to}@default`);
        return `+OK Member '${m.id}' sent to conference ${to}.\n`;
      });
      return said(lines.join(''));
    },
  },
};
