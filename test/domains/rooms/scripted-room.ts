/** A room on a node that is played by the test: it does what it is told, or only says so, and reports as a node does. */
import { randomUUID } from 'node:crypto';
import type { RoomControl } from '../../../src/domains/rooms/control';
import type { NodeRow } from '../../../src/domains/nodes/nodes.store';
import { parseReply, type ApiCommand, type Reply, type RoomEvent } from '../../../src/freeswitch/esl';

export interface ScriptedMember {
  memberId: number;
  legId: string;
  speak: boolean;
  hear: boolean;
  see: boolean;
  volumeIn: number;
  reservation?: string;
}

export interface ScriptedRoom {
  /** Every line it was sent. */
  lines: string[];
  members: Map<number, ScriptedMember>;
  floor: number | null;
  videoFloor: number | null;
  videoHeld: boolean;
  locked: boolean;
  /** Commands whose first word is in here are answered +OK and not done. */
  deafTo: Set<string>;
  isUp: boolean;
  api(nodeId: string, command: ApiCommand): Promise<Reply>;
  enter(memberId: number): ScriptedMember;
  /** Tells Switchyard, as the node's stream would. */
  tell(action: string, memberId?: number, more?: Record<string, string>): Promise<void>;
  /** From now on it does what it is told, and its events are under way. @returns what lets them arrive */
  delayEvents(): () => void;
}

export const PNG = Buffer.concat([
  Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
  Buffer.from('a video'),
  Buffer.from([0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82]),
]);

const SWITCHES: Record<string, [keyof ScriptedMember, boolean]> = {
  mute: ['speak', false],
  unmute: ['speak', true],
  vmute: ['see', false],
  unvmute: ['see', true],
  deaf: ['hear', false],
  undeaf: ['hear', true],
};

export function scriptRoom(node: NodeRow, sessionId: string, roomControl: () => RoomControl): ScriptedRoom {
  const members = new Map<number, ScriptedMember>();
  /** One event after the other, as they come out of a node's stream. */
  let told = Promise.resolve();
  let isLate = false;
  const room: ScriptedRoom = {
    lines: [],
    members,
    floor: null,
    videoFloor: null,
    videoHeld: false,
    locked: false,
    deafTo: new Set(),
    isUp: true,
    async api(_nodeId, { line }) {
      if (!room.isUp) throw new Error('no connection');
      room.lines.push(line);
      return parseReply(await answer(line));
    },
    enter(memberId) {
      const member = { memberId, legId: randomUUID(), speak: true, hear: true, see: true, volumeIn: 0 };
      members.set(memberId, member);
      return member;
    },
    async tell(action, memberId, more = {}) {
      const member = memberId === undefined ? undefined : members.get(memberId);
      const fields: Record<string, string> = member
        ? {
            Hear: String(member.hear),
            See: String(member.see),
            Speak: String(member.speak),
            Talking: 'false',
            Video: 'true',
            'Member-Type': 'member',
            ...more,
          }
        : more;
      const event = { type: 'room', action, room: sessionId, legId: member?.legId, atMs: Date.now(), fields };
      const memberText = memberId === undefined ? undefined : String(memberId);
      const taken = told.then(() =>
        roomControl().handleRoomEvents([{ node, event: { ...event, memberId: memberText } as RoomEvent }]),
      );
      told = taken.catch(() => undefined);
      if (!isLate) await taken;
    },
    delayEvents() {
      let arrive = (): void => undefined;
      const before = told;
      told = new Promise<void>((resolve) => (arrive = resolve)).then(() => before);
      isLate = true;
      return () => {
        isLate = false;
        arrive();
      };
    },
  };

  async function answer(line: string): Promise<string> {
    if (line === 'conference json_list') return list();
    if (line === 'conference list') return flags(true);
    if (line.startsWith('global_getvar')) return '/tmp/of the node';
    if (line.startsWith('spawn_stream base64')) return PNG.toString('base64');
    if (line.startsWith('spawn_stream') || line.startsWith('uuid_')) return '+OK';
    const [, name, what = '', ...words] = line.split(' ');
    if (name !== sessionId) return `-ERR Conference ${name} not found`;
    if (what === 'list') return flags(false);
    if (room.deafTo.has(what)) return '+OK';
    return run(what, words);
  }

  async function run(what: string, words: string[]): Promise<string> {
    const id = Number(words[0]);
    const member = members.get(id);
    const change = SWITCHES[what];
    if (change && member) {
      Object.assign(member, { [change[0]]: change[1] });
      await room.tell(`${what}-member`, id);
      return `+OK ${what} ${id}`;
    }
    switch (what) {
      case 'volume_in':
        member!.volumeIn = Number(words[1]);
        await room.tell('volume-in-member', id, { 'Volume-Level': words[1]! });
        return '+OK';
      case 'lock':
      case 'unlock':
        room.locked = what === 'lock';
        await room.tell(what);
        return '+OK';
      case 'vid-layer':
        return `+OK layer ${words[1]}`;
      case 'vid-res-id': {
        const wanted = words[1] === 'clear' ? undefined : words[1];
        // Taken from whoever else has it, as the node does.
        for (const one of members.values()) if (one.reservation === wanted) one.reservation = undefined;
        member!.reservation = wanted;
        return wanted === undefined ? '+OK reservation_id cleared' : `+OK reservation_id ${wanted}`;
      }
      case 'vid-layout':
        return `+OK Change canvas 1 to layout [${words[0]!.replace('group:', '')}]`;
      case 'clear-vid-floor':
        room.videoHeld = false;
        return '+OK floor Cleared';
      case 'vid-floor':
        Object.assign(room, { videoFloor: id, videoHeld: true });
        await room.tell('video-floor-change', undefined, { 'New-ID': String(id) });
        return `+OK floor ${id}`;
      case 'floor':
        if (room.floor !== null && room.floor !== id) return `-ERR floor is held by ${room.floor}`;
        room.floor = room.floor === id ? null : id;
        await room.tell('floor-change', room.floor ?? undefined, {
          'New-ID': room.floor === null ? 'none' : String(id),
        });
        return '+OK';
      case 'play':
        return words[0]!.endsWith('.wav') ? `-ERR (play) File: ${words[0]} not found.` : '+OK (play) Playing';
      case 'stop':
        return '+OK Stopped 2 files.';
      default:
        return '+OK';
    }
  }

  function list(): string {
    const all = [...members.values()].map((m) => ({
      type: 'caller',
      id: m.memberId,
      uuid: m.legId,
      volume_in: m.volumeIn,
      volume_out: 0,
      flags: { can_hear: m.hear, can_speak: m.speak, has_video: true, is_moderator: false },
    }));
    return JSON.stringify([{ conference_name: sessionId, conference_uuid: 'x', locked: room.locked, members: all }]);
  }

  function flags(withRoom: boolean): string {
    const held = room.videoHeld ? '|video_floor_lock' : '';
    const head = `Conference ${sessionId} (${members.size} members rate: 48000 flags: running${held})`;
    const rows = [...members.values()].map((m) => {
      const has = [
        'hear',
        room.floor === m.memberId && 'floor',
        room.videoFloor === m.memberId && 'vid-floor',
        m.reservation !== undefined && `res-id:${m.reservation}`,
      ];
      return `${m.memberId};loopback/x;${m.legId};x;x;${has.filter(Boolean).join('|')};0;0;200`;
    });
    return [...(withRoom ? [head] : []), ...rows].join('\n');
  }
  return room;
}
