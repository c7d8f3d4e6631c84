/** How a node lists its rooms: in lines, and in JSON. */
import type { NodeContext } from '../node-context';
import { ghostsOf, hasVideo, sizeOf, type Member, type Room } from './room';

/** What only one stream of sound is told; the rest of mod_conference's flags in its order. */
function flagsOf(room: Room): string {
  const has = (flag: string): boolean => room.flags.has(flag);
  const told: [string, boolean][] = [
    ['locked', room.locked],
    ['destruct', room.ending],
    ['wait_mod', room.waitsForModerator],
    ['audio_always', has('audio-always')],
    ['running', true],
    ['answered', true],
    ['enforce_min', true],
    ['dynamic', true],
    ['exit_sound', true],
    ['enter_sound', true],
    ['recording', room.recordings.length > 0],
    ['video_floor_only', has('video-floor-only')],
    ['video_rfc4579', has('rfc-4579')],
    ['livearray_sync', has('livearray-sync')],
    ['video_floor_lock', room.videoFloorLocked],
    ['transcode_video', room.canvas !== undefined],
    ['video_muxing', room.canvas !== undefined],
    ['minimize_video_encoding', has('minimize-video-encoding')],
    ['manage_inbound_bitrate', has('manage-inbound-video-bitrate')],
    ['json_status', true],
  ];
  return told
    .filter(([, set]) => set)
    .map(([name]) => name)
    .join('|');
}

function memberLine(room: Room, m: Member, delimiter: string): string {
  const flags: [string, boolean][] = [
    ['hear', !m.onHold && m.canHear],
    ['speak', !m.onHold && m.canSpeak],
    ['talking', !m.onHold && m.talking],
    ['hold', m.onHold],
    ['video', hasVideo(m.channel)],
    ['floor', room.floor === m.id],
    ['vid-floor', room.videoFloor === m.id],
    ['moderator', m.moderator],
    ['ghost', m.ghost],
    [`res-id:${m.reservation}`, m.reservation !== undefined],
  ];
  const set = flags.filter(([, on]) => on).map(([name]) => name);
  return [
    m.id,
    m.channel.channelName,
    m.channel.uuid,
    m.channel.callerName,
    m.channel.callerNumber,
    set.join('|'),
    m.volumeIn,
    m.volumeOut,
    m.energyLevel,
  ].join(delimiter);
}

export function memberLines(room: Room, delimiter = ';'): string {
  return room.members.map((m) => `${memberLine(room, m, delimiter)}\n`).join('');
}

export function roomLines(room: Room): string {
  const size = sizeOf(room);
  const rate = Number(room.profile.rate) || 8000;
  return `+OK Conference ${room.name} (${size} member${size === 1 ? '' : 's'} rate: ${rate} flags: ${flagsOf(room)})\n${memberLines(room)}`;
}

const seconds = (node: NodeContext, sinceMs: number): number =>
  Math.max(0, Math.floor((node.clock() - sinceMs) / 1000));

/** One room as `json_list` tells it. `vmute` is not in it. */
export function roomRow(node: NodeContext, room: Room): Record<string, unknown> {
  return {
    conference_name: room.name,
    member_count: sizeOf(room),
    ghost_count: ghostsOf(room),
    rate: Number(room.profile.rate) || 8000,
    run_time: seconds(node, room.startedMs),
    conference_uuid: room.uuid,
    canvas_count: room.canvas ? 1 : 0,
    max_bw_in: 0,
    force_bw_in: 0,
    video_floor_packets: 0,
    locked: room.locked,
    destruct: room.ending,
    wait_mod: room.waitsForModerator,
    audio_always: room.flags.has('audio-always'),
    running: true,
    answered: true,
    enforce_min: true,
    bridge_to: false,
    dynamic: true,
    exit_sound: true,
    enter_sound: true,
    recording: room.recordings.length > 0,
    video_bridge: false,
    video_floor_only: room.flags.has('video-floor-only'),
    video_rfc4579: room.flags.has('rfc-4579'),
    ...(room.maxMembers > 0 ? { max_members: room.maxMembers } : {}),
    variables: Object.fromEntries(room.variables),
    members: [
      ...room.recordings
        .filter((r) => r.running)
        .map((r) => ({
          type: 'recording_node',
          record_path: r.asked,
          ...(r.paused ? { status: 'paused' } : {}),
          join_time: Math.floor(r.startedMs / 1000),
        })),
      ...room.members.map((m) => memberRow(node, room, m)),
    ],
  };
}

function memberRow(node: NodeContext, room: Room, m: Member): Record<string, unknown> {
  return {
    type: 'caller',
    id: m.id,
    flags: {
      can_hear: !m.onHold && m.canHear,
      can_see: !m.onHold && m.canSee,
      can_speak: !m.onHold && m.canSpeak,
      hold: m.onHold,
      mute_detect: m.flags.has('mute-detect'),
      talking: m.talking,
      has_video: hasVideo(m.channel),
      video_bridge: m.flags.has('video-bridge'),
      has_floor: room.floor === m.id,
      is_moderator: m.moderator,
      end_conference: m.endsRoom,
      mandatory_member_end_conference: m.mandatory,
      pass_digits: m.flags.has('dist-dtmf'),
    },
    uuid: m.channel.uuid,
    caller_id_name: m.channel.callerName,
    caller_id_number: m.channel.callerNumber,
    join_time: seconds(node, m.joinedMs),
    last_talking: m.lastTalkedMs > 0 ? seconds(node, m.lastTalkedMs) : 0,
    energy: m.energyLevel,
    volume_in: m.volumeIn,
    volume_out: m.volumeOut,
    'output-volume': m.volumeOut,
    'input-volume': m.volumeIn,
  };
}
