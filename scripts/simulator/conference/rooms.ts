/** Rooms of one simulated node: who enters, who is refused, who leaves, and when a room ends — as mod_conference does it. */
import { randomUUID } from 'node:crypto';
import type { Calls } from '../channels/call-types';
import type { NodeContext } from '../node-context';
import type { Channel } from '../channels/channel';
import { canvasOf } from './canvas';
import { sendJoinEvent, sendMemberEvent, sendRoomEvent } from './events';
import { fillFloor, findVideoFloor, setFloor, setVideoFloor, claimFloorBySpeaking } from './floor';
import { playInRoom, soundLengthMs, stopSounds } from './sounds';
import { newMember, parseEnterData, sizeOf, splitFlags, type Member, type Room } from './room';
import { toneIn } from '../media/tones';
import { child, childrenOf, pairs } from '../xml-client';
import type { Element } from '../../../src/freeswitch/xml/document';

/** A frame of sound: so long a room takes to notice that it is over. */
const FRAME_MS = 20;
/** From the first sound of a phone that talks to its event. */
const TALK_AFTER_MS = 60;

export interface Rooms {
  readonly byName: ReadonlyMap<string, Room>;
  /** The application: settles when the channel is out of the room again, or was not let in. */
  enter(channel: Channel, data: string): Promise<void>;
  find(name: string): Room | undefined;
  /** A number no member or recording of this node had before. */
  nextId(): number;
  /** Ends the room and everybody's stay. */
  destroy(room: Room): void;
  /** Starts or stops speaking, where it can be heard. */
  setTalking(room: Room, m: Member, talking: boolean): void;
  /** Makes a phone that talks be heard again after it was muted. */
  resumeTalking(room: Room, m: Member): void;
}

export function createRooms(node: NodeContext, calls: Calls): Rooms {
  const byName = new Map<string, Room>();
  let lastId = 0;
  const find = (name: string): Room | undefined => byName.get(name);
  const nextId = (): number => ++lastId;

  async function enter(channel: Channel, data: string): Promise<void> {
    const run = channel.run;
    const asked = parseEnterData(data, channel.variables.get('conference_member_flags') ?? '');
    const section = await node.configuration('conference.conf', {
      conference_name: asked.name,
      profile_name: asked.profile,
      'Fetch-Call-UUID': channel.uuid,
    });
    if (!section || channel.isOver || channel.run !== run || node.isOver) return;
    const flags = new Set(asked.flags);
    const known = find(asked.name);
    if (!known && flags.has('join-only')) {
      sendJoinEvent(node, channel, asked.name, asked.profile);
      if (channel.variables.get('hangup_after_conference') !== 'false') calls.hangup(channel, 'NORMAL_CLEARING');
      return;
    }
    const room = known ?? (await openRoom(asked.name, profileIn(section, asked.profile), channel, flags));
    if (channel.isOver || channel.run !== run || node.isOver) return closeEmpty(room);
    channel.variables.set('conference_name', room.name);
    calls.answer(channel);
    const secured = channel.variables.get('conference_enforce_security');
    const enforced = secured === undefined ? channel.direction === 'inbound' : secured === 'true';
    const pin = asked.pin || room.pin;
    if (enforced && pin && channel.variables.get('supplied_pin') !== pin) return closeEmpty(room);
    if (room.locked && enforced) return playAlone(room.profile['locked-sound']);
    if (room.maxMembers > 0 && sizeOf(room) >= room.maxMembers) return playAlone(room.profile['max-members-sound']);
    return stay(room, channel, flags);
  }

  /** What somebody hears who is not let in. */
  const playAlone = (sound: string | undefined): Promise<void> =>
    new Promise((done) => void node.later(sound ? (soundLengthMs(sound) ?? 1) : 0, done));

  function profileIn(section: Element, name: string): { name: string; params: Record<string, string> } {
    const profiles = child(child(section, 'configuration'), 'profiles');
    const found = childrenOf(profiles, 'profile').find((p) => String(p.attributes?.name) === name);
    // FreeSWITCH goes on with its own defaults, and calls that profile "none".
    return { name: found ? name : 'none', params: pairs(found, 'param') };
  }

  async function openRoom(
    name: string,
    profile: { name: string; params: Record<string, string> },
    channel: Channel,
    memberFlags: ReadonlySet<string>,
  ): Promise<Room> {
    const flags = new Set([
      ...splitFlags(profile.params['conference-flags'] ?? ''),
      ...splitFlags(channel.variables.get('conference_flags') ?? ''),
      ...memberFlags,
    ]);
    const room: Room = {
      name,
      uuid: randomUUID(),
      profileName: profile.name,
      profile: profile.params,
      flags,
      domain: profile.params.domain ?? channel.variables.get('domain_name') ?? node.host,
      startedMs: node.clock(),
      members: [],
      recordings: [],
      locked: false,
      waitsForModerator: flags.has('wait-mod'),
      ending: false,
      maxMembers: Number(channel.variables.get('conference_max_members') ?? profile.params['max-members']) || 0,
      endGraceSeconds: Number(profile.params['endconf-grace-time']) || 0,
      floor: 0,
      videoFloor: 0,
      videoFloorLocked: false,
      variables: new Map(),
      pin: profile.params.pin ?? '',
      entrySounds: {
        enter: { file: profile.params['enter-sound'] ?? '', on: true },
        exit: { file: profile.params['exit-sound'] ?? '', on: true },
      },
      leaving: 0,
      callerIdName: profile.params['caller-id-name'] ?? 'conference',
      callerIdNumber: profile.params['caller-id-number'] ?? '0000000000',
      soundPrefix: profile.params['sound-prefix'] ?? '',
      playing: [],
      playingTo: new Map(),
    };
    // Held before the layouts are asked for: two who come at once make one room.
    byName.set(name, room);
    if (profile.params['video-mode'] === 'mux')
      room.canvas = canvasOf(
        profile.params,
        await node.configuration(profile.params['video-layout-conf'] ?? 'conference_layouts.conf'),
      );
    sendRoomEvent(node, room, 'conference-create');
    return room;
  }

  function stay(room: Room, channel: Channel, given: ReadonlySet<string>): Promise<void> {
    channel.memberId ??= nextId();
    const flags = new Set([...splitFlags(room.profile['member-flags'] ?? ''), ...given]);
    const m = newMember(channel.memberId, channel, flags, room.profile);
    m.joinedMs = node.clock();
    channel.variables.set('conference_member_id', String(m.id));
    channel.variables.set('conference_moderator', String(m.moderator));
    channel.variables.set('conference_ghost', String(m.ghost));
    channel.variables.set('conference_uuid', room.uuid);
    if (m.moderator) room.waitsForModerator = false;
    room.members.unshift(m);
    sendMemberEvent(node, room, m, 'add-member');
    if (sizeOf(room) > 1) {
      if (!room.waitsForModerator) stopSounds(node, room, 'async');
      playEntry(room, 'enter');
    }
    askControls(room, m);
    if (flags.has('join-vid-floor')) setVideoFloor(node, room, m, (room.videoFloorLocked = true));
    else if (room.canvas) findVideoFloor(node, room);
    node.later(FRAME_MS, () => fillFloor(node, room));
    playToTheWaiting(room);
    channel.hears = () => toneIn(node, room, channel);
    return new Promise((done) => {
      let left = false;
      m.leave = channel.leaveRoom = () => {
        if (left) return;
        left = true;
        channel.leaveRoom = channel.hears = undefined;
        remove(room, m);
        done();
      };
      talkAsThePhoneDoes(room, m);
    });
  }

  /** Every member's keys are asked for, by the name of their group. */
  function askControls(room: Room, m: Member): void {
    const own = m.channel.variables.get('conference_controls');
    const named =
      own ?? (m.moderator ? room.profile['moderator-controls'] : undefined) ?? room.profile['caller-controls'];
    const controls = named ?? 'default';
    if (controls === 'none') return;
    void node.configuration('conference.conf', {
      'Conf-Name': room.name,
      'Conf-Profile': room.profileName,
      Action: 'request-controls',
      Controls: controls,
      'Fetch-Call-UUID': m.channel.uuid,
    });
  }

  function remove(room: Room, m: Member): void {
    for (const stop of m.onLeave.splice(0)) stop();
    stopSounds(node, room, 'all', m);
    room.members = room.members.filter((other) => other !== m);
    room.leaving += m.ghost ? 0 : 1; // the floor is told before they are no longer counted
    if (room.floor === m.id) setFloor(node, room, undefined);
    room.leaving -= m.ghost ? 0 : 1;
    if (m.endsRoom || room.members.length === 0) room.ending = true;
    if (m.mandatory && !room.members.some((other) => other.mandatory)) endAfterGrace(room);
    if (!room.ending) playEntry(room, 'exit');
    sendMemberEvent(node, room, m, 'del-member');
    if (room.videoFloor === m.id) {
      room.videoFloorLocked = false;
      room.videoFloor = 0;
      findVideoFloor(node, room);
    }
    if (room.ending) node.later(FRAME_MS, () => destroy(room));
    else playToTheWaiting(room);
  }

  function endAfterGrace(room: Room): void {
    node.later(room.endGraceSeconds * 1000 + FRAME_MS, () => {
      if (!room.members.some((m) => m.mandatory)) destroy(room);
    });
  }

  function closeEmpty(room: Room): void {
    if (room.members.length === 0 && !room.ending) {
      room.ending = true;
      node.later(FRAME_MS, () => destroy(room));
    }
  }

  function destroy(room: Room): void {
    if (byName.get(room.name) === room) byName.delete(room.name);
    room.ending = true;
    stopSounds(node, room, 'all');
    for (const m of [...room.members]) {
      if (m.channel.variables.get('hangup_after_conference') === 'false') m.leave();
      else calls.hangup(m.channel, 'NORMAL_CLEARING');
    }
    for (const recording of [...room.recordings]) recording.stop();
    if (room.startedMs >= 0) sendRoomEvent(node, room, 'conference-destroy');
    room.startedMs = -1;
  }

  function playEntry(room: Room, which: 'enter' | 'exit'): void {
    const { file, on } = room.entrySounds[which];
    if (on && file) playInRoom(node, room, file);
  }

  /** Music for one who is alone, or waits for a moderator. */
  function playToTheWaiting(room: Room): void {
    const music = room.music ?? room.profile['moh-sound'];
    if (!music || room.background || room.ending) return;
    if (sizeOf(room) === 1 || room.waitsForModerator) playInRoom(node, room, music, { async: true, silent: true });
  }

  function setTalking(room: Room, m: Member, talking: boolean): void {
    if (m.talking === talking || (talking && (!m.canSpeak || m.onHold)) || room.ending) return;
    m.talking = talking;
    if (!talking) m.lastTalkedMs = node.clock();
    sendMemberEvent(node, room, m, talking ? 'start-talking' : 'stop-talking');
    if (talking) claimFloorBySpeaking(node, room, m);
  }

  function talkAsThePhoneDoes(room: Room, m: Member): void {
    m.channel.onTalk = (talking) => setTalking(room, m, talking);
    m.onLeave.push(() => (m.channel.onTalk = undefined));
    resumeTalking(room, m);
    const talks = m.channel.person?.().talks;
    if (!talks || talks === true) return;
    const turn = (talking: boolean, ms: number): void =>
      void m.onLeave.push(
        node.later(ms, () => {
          setTalking(room, m, talking);
          turn(!talking, talking ? talks.forMs : talks.pauseMs);
        }),
      );
    turn(true, TALK_AFTER_MS);
  }

  function resumeTalking(room: Room, m: Member): void {
    const sounds = (): boolean => m.channel.isSounding || m.channel.person?.().talks === true;
    if (sounds()) m.onLeave.push(node.later(TALK_AFTER_MS, () => setTalking(room, m, sounds())));
  }

  return {
    byName,
    enter,
    find: (name) => (find(name)?.ending ? undefined : find(name)),
    nextId,
    destroy,
    setTalking,
    resumeTalking,
  };
}
