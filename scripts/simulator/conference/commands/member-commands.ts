/** Commands on single members of a room, in mod_conference's words. */
import type { RoomDesk } from './desk';
import { sendMemberEvent } from '../events';
import { setFloor, setVideoFloor } from '../floor';
import { memberOf, hasVideo, type Member, type Room } from '../room';

interface MemberCommand {
  usage?: string;
  run: (desk: RoomDesk, room: Room, m: Member, rest: string[]) => string;
}

const SWITCH_USAGE = '<[member_id|all]|last|non_moderator> [<quiet>]';

/** @param change what is different afterwards */
function switching(word: string, change: (m: Member) => void, after?: MemberCommand['run']): MemberCommand {
  return {
    usage: SWITCH_USAGE,
    run(desk, room, m, rest) {
      change(m);
      sendMemberEvent(desk.node, room, m, `${word}-member`);
      after?.(desk, room, m, rest);
      return `+OK ${word} ${m.id}\n`;
    },
  };
}

const mute = switching('mute', (m) => {
  m.canSpeak = false;
  m.talking = false;
});
const unmute = switching(
  'unmute',
  (m) => (m.canSpeak = true),
  (desk, room, m) => {
    desk.rooms.resumeTalking(room, m);
    return '';
  },
);
const vmute = onlyWhenHeard(switching('vmute', (m) => (m.canBeSeen = false)));
const unvmute = onlyWhenHeard(switching('unvmute', (m) => (m.canBeSeen = true)));

function onlyWhenHeard(command: MemberCommand): MemberCommand {
  return {
    ...command,
    run: (desk, room, m, rest) => (m.onHold ? `-ERR member ${m.id} is on hold\n` : command.run(desk, room, m, rest)),
  };
}

function level(what: 'in' | 'out'): MemberCommand {
  const field = what === 'in' ? 'volumeIn' : 'volumeOut';
  return {
    run(desk, room, m, [value]) {
      if (value !== undefined) {
        m[field] = Math.max(-4, Math.min(4, Number.parseInt(value, 10) || 0));
        sendMemberEvent(desk.node, room, m, `volume-${what}-member`, { 'Volume-Level': String(m[field]) });
      }
      return `+OK Volume ${what.toUpperCase()} ${m.id} = ${m[field]}\n`;
    },
  };
}

/** FreeSWITCH takes the floor away from who has it: only a floor nobody has can be given. */
const floor: MemberCommand = {
  usage: '<member_id|last>',
  run({ node }, room, m) {
    if (room.floor === m.id) {
      setFloor(node, room, undefined);
      return '+OK floor none\n';
    }
    if (room.floor > 0 && memberOf(room, room.floor)) return `-ERR floor is held by ${room.floor}\n`;
    setFloor(node, room, m);
    return `+OK floor ${m.id}\n`;
  },
};

/** Said twice it is taken back: the video follows who speaks again. */
const videoFloor: MemberCommand = {
  usage: '<member_id|last> [force]',
  run({ node }, room, m, [how]) {
    if (!hasVideo(m.channel)) return '';
    if (room.videoFloor === m.id && room.videoFloorLocked) {
      room.videoFloorLocked = false;
      setFloor(node, room, m);
      return '+OK floor none\n';
    }
    if (how !== 'force' && room.videoFloor > 0) return `-ERR floor is held by ${room.videoFloor}\n`;
    room.videoFloorLocked = true;
    setVideoFloor(node, room, m, true);
    return `+OK floor ${m.id}\n`;
  },
};

/** Both only end the stay: the channel goes on with its plan. */
const ending = (word: string, said: string, usage: string): MemberCommand => ({
  usage,
  run({ node }, room, m) {
    sendMemberEvent(node, room, m, `${word}-member`);
    node.later(5, m.leave);
    return `+OK ${said} ${m.id}\n`;
  },
});

const layer: MemberCommand = {
  run({ node }, room, m, [value]) {
    if (value === undefined) return '-ERR Invalid DATA\n';
    if (!room.canvas) {
      // FreeSWITCH 1.10.12 reads a canvas that is not there, and the whole node ends.
      node.crash(`vid-layer in ${room.name}, which has no video`);
      return '';
    }
    if (!hasVideo(m.channel)) return '+OK layer 0\n';
    const wanted = Math.max(1, Number.parseInt(value, 10) || 1);
    m.layer = wanted > (room.canvas.layouts.get(room.canvas.layout) ?? room.members.length) ? 1 : wanted;
    return `+OK layer ${m.layer}\n`;
  },
};

export const MEMBER_COMMANDS: Readonly<Record<string, MemberCommand>> = {
  mute,
  unmute,
  tmute: {
    usage: SWITCH_USAGE,
    run: (desk, room, m, rest) => (m.canSpeak ? mute : unmute).run(desk, room, m, rest),
  },
  vmute,
  unvmute,
  tvmute: {
    usage: SWITCH_USAGE,
    run: (desk, room, m, rest) => (m.canBeSeen ? vmute : unvmute).run(desk, room, m, rest),
  },
  vblind: switching('vblind', (m) => (m.canSee = false)),
  unvblind: switching('unvblind', (m) => (m.canSee = true)),
  deaf: { ...switching('deaf', (m) => (m.canHear = false)), usage: '<[member_id|all]|last|non_moderator>' },
  undeaf: { ...switching('undeaf', (m) => (m.canHear = true)), usage: '<[member_id|all]|last|non_moderator>' },
  hold: {
    ...switching('hold', (m) => {
      m.onHold = true;
      m.talking = false;
    }),
    usage: '<[member_id|all]|last|non_moderator> [file]',
  },
  unhold: { ...switching('unhold', (m) => (m.onHold = false)), usage: '<[member_id|all]|last|non_moderator>' },
  kick: ending('kick', 'kicked', '<[member_id|all|last|non_moderator]> [<optional sound file>]'),
  hup: ending('hup', 'hup', '<[member_id|all|last|non_moderator]>'),
  floor,
  'vid-floor': videoFloor,
  volume_in: level('in'),
  volume_out: level('out'),
  energy: {
    run({ node }, room, m, [value]) {
      if (value !== undefined) {
        m.energyLevel = Number.parseInt(value, 10) || 0;
        sendMemberEvent(node, room, m, 'energy-level-member');
      }
      return `Energy ${m.id} = ${m.energyLevel}\n`;
    },
  },
  'vid-layer': layer,
  'vid-banner': {
    usage: '<member_id|last> <text>',
    run(_desk, _room, m, [text]) {
      if (text !== undefined) m.banner = decodeURIComponent(text);
      return '+OK\n';
    },
  },
  'vid-codec-group': {
    usage: '<member_id|last> [<group>|clear]',
    run(_desk, _room, m, [group]) {
      if (!hasVideo(m.channel)) return '';
      if (group !== undefined) m.codecGroup = group === 'clear' ? undefined : group;
      else return `+OK Video codec group is ${m.codecGroup ?? '(null)'}\n`;
      return `+OK Video codec group ${m.codecGroup ? 'set' : 'cleared'} ${m.codecGroup ?? ''}\n`;
    },
  },
  'get-uuid': { usage: '<member_id|last>', run: (_desk, _room, m) => m.channel.uuid },
  dtmf: {
    usage: '<[member_id|all|last|non_moderator]> <digits>',
    run({ node }, room, m, [digits = '']) {
      sendMemberEvent(node, room, m, 'dtmf-member', { Digits: digits });
      return `+OK sent ${digits} to ${m.id}\n`;
    },
  },
};
