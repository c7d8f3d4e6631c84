/** `conference …` on a simulated node: which room, which member, and the words mod_conference answers with. */
import { type RoomDesk } from './desk';
import { splitWords } from '../../channels/dial-string';
import { MEMBER_COMMANDS } from './member-commands';
import { ROOM_COMMANDS } from './room-wide-commands';
import { memberLines, roomLines, roomRow } from '../list';
import { memberOf, sizeOf, type Member, type Room } from '../room';

const NO_REPLY = '-ERR no reply\n';
const MEMBER_USAGE = '<member_id|all|last|non_moderator> [<newval>]';

export function createRoomCommands(desk: RoomDesk): (rest: string) => string {
  return (rest) => run(desk, rest) || NO_REPLY;
}

function run(desk: RoomDesk, rest: string): string {
  const { node, rooms } = desk;
  const words = splitWords(rest);
  const [first, command] = words;
  const all = [...rooms.byName.values()].filter((room) => !room.ending);
  if (first === undefined || first === 'help' || first === 'commands') return usages();
  const room = rooms.find(first);
  if (!room) {
    switch (first) {
      case 'json_list':
        return JSON.stringify(all.map((r) => roomRow(node, r)));
      case 'list':
        return all.length === 0 ? '+OK No active conferences.\n' : all.map(roomLines).join('');
      case 'count':
        return String(all.length);
    }
    if (command === 'dial' || command === 'bgdial') return dialInto(desk, undefined, first, words);
    return `-ERR Conference ${first} not found\n`;
  }
  if (command === undefined) return "Conference command, not specified.\nTry 'help'\n";
  return onRoom(desk, room, command.toLowerCase(), words, rest);
}

function onRoom(desk: RoomDesk, room: Room, command: string, words: string[], rest: string): string {
  if (command === 'json_list') return JSON.stringify([roomRow(desk.node, room)]);
  if (command === 'count') return String(sizeOf(room));
  if (command === 'list') {
    if (words[2] === 'count') return String(sizeOf(room));
    return memberLines(room, words[2] === 'delim' ? words[3] : undefined);
  }
  if (command === 'dial' || command === 'bgdial') return dialInto(desk, room, room.name, words);
  const wide = ROOM_COMMANDS[command];
  if (wide) {
    const text = rest.slice(rest.indexOf(command) + command.length).trim();
    const answer = wide.run(desk, room, words.slice(2), text);
    return answer.text + (answer.usage ? `${command} ${wide.usage}` : '');
  }
  const single = MEMBER_COMMANDS[command];
  if (!single) return `-ERR Conference command '${words[1]}' not found.\n`;
  return onMembers(desk, room, command, single, words.slice(2));
}

function onMembers(
  desk: RoomDesk,
  room: Room,
  command: string,
  single: (typeof MEMBER_COMMANDS)[string],
  [target = '', ...rest]: string[],
): string {
  const act = (m: Member): string => single.run(desk, room, m, rest);
  const id = Number.parseInt(target, 10);
  if (id > 0) {
    const m = memberOf(room, id);
    return m ? act(m) : `-ERR Non-Existant ID ${id}\n`;
  }
  switch (target.toLowerCase()) {
    case 'all':
      return [...room.members].map(act).join('');
    case 'non_moderator':
      return [...room.members]
        .map((m) => (m.moderator ? `Skipping moderator (member id ${m.id}).\n` : act(m)))
        .join('');
    case 'last': {
      const last = room.members.reduce<Member | undefined>((a, b) => (a && a.id > b.id ? a : b), undefined);
      return last ? act(last) : '';
    }
  }
  return `${command} ${single.usage ?? MEMBER_USAGE}`;
}

function dialInto(desk: RoomDesk, room: Room | undefined, name: string, words: string[]): string {
  if (words.length < 3) return '-ERR Bad Args\nmoh <file_path>|toggle|[on|off]'; // FreeSWITCH's own slip
  desk.dial(room, name, words.slice(2));
  return words[1] === 'dial' ? '+OK Call Requested: result: [SUCCESS]\n' : '+OK Job-UUID: 00000000\n';
}

function usages(): string {
  const lines = [
    ...Object.entries(ROOM_COMMANDS).map(([name, c]) => `<conf name> ${name} ${c.usage}\n`),
    ...Object.entries(MEMBER_COMMANDS).map(([name, c]) => `<conf name> ${name} ${c.usage ?? MEMBER_USAGE}\n`),
  ];
  return `${lines.join('')}\n`;
}
