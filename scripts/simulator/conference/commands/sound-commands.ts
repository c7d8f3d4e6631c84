/** What a room plays by itself, and how its PIN is changed while it runs, in mod_conference's words. */
import type { CommandAnswer } from './desk';
import { sendRoomEvent } from '../events';
import { playInRoom, stopSounds } from '../sounds';
import { sizeOf, type Room } from '../room';
import type { RoomCommand } from './desk';

const said = (text: string): CommandAnswer => ({ text });
const wrong = (text: string): CommandAnswer => ({ text, usage: true });

/** The sound itself and whether it is played are two things: `off` keeps the file. */
function entrySound(which: 'enter' | 'exit'): RoomCommand {
  return {
    usage: 'on|off|none|file <filename>',
    run({ node }, room, [how, file]) {
      const sounds = room.entrySounds[which];
      if (how === undefined) return wrong('-ERR Not enough args\n');
      if (how === 'on' || how === 'off' || how === 'none') {
        sounds.on = how === 'on';
        const word = sounds.on ? 'on' : 'off';
        sendRoomEvent(node, room, `${which}-sounds-${word}`);
        return said(`+OK ${room.name} ${which} sounds ${word} (${sounds.file})\n`);
      }
      if (how !== 'file') return wrong('-ERR Bad args\n');
      if (file === undefined) return said('-ERR No filename specified\n');
      sounds.file = file;
      const told = which === 'exit' ? '+OK Old exit sound: [' + file + ']\n' : '';
      sendRoomEvent(node, room, `${which}-sound-file-changed`);
      return said(`${told}+OK ${room.name} ${which} sound file set to ${file}\n`);
    },
  };
}

function setPin(room: Room, value: string | undefined): CommandAnswer {
  room.pin = value ?? '';
  return said(
    value === undefined
      ? `+OK Pin for conference ${room.name} deleted\n`
      : `+OK Pin for conference ${room.name} set: ${value}\n`,
  );
}

export const SOUND_SETTINGS: Readonly<Record<string, RoomCommand>> = {
  enter_sound: entrySound('enter'),
  exit_sound: entrySound('exit'),
  moh: {
    usage: '<file_path>|toggle|[on|off]',
    run({ node }, room, [what]) {
      if (what === undefined) return said('-ERR invalid moh param\n');
      if (what === 'reset') room.music = undefined;
      else if (!/^(on|off|toggle)$/.test(what)) {
        room.music = what;
        stopSounds(node, room, 'async');
        if (sizeOf(room) === 1) playInRoom(node, room, what, { async: true });
      } else if (what !== 'on') stopSounds(node, room, 'async');
      return said('+OK moh\n');
    },
  },
  pin: {
    usage: '<pin#>',
    run: (_desk, room, [value]) => (value === undefined ? wrong('-ERR Invalid parameters:\n') : setPin(room, value)),
  },
  nopin: { usage: '', run: (_desk, room) => setPin(room, undefined) },
  pause_play: { usage: '[<member_id>]', run: (_desk, room) => said(room.playing.length > 0 ? '+OK Pause\n' : '') },
  play_status: {
    usage: '[<member_id>]',
    run: (_desk, room) => said(room.playing[0] ? `+OK 0/0 ${room.playing[0].file}\n` : '-ERR Nothing is playing\n'),
  },
};
