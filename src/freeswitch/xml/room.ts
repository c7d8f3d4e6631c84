/** Plans that lead into a room: ask for its PIN, enter it here, or go on to the node that has it. */
import { SwitchyardError } from '../../errors';
import { hostAndPort } from '../../address';
import { dialplanXml, type Action, type CallVariables } from './dialplan';
import { addressPart, callerNameText, isHostPart, isPlainValue } from './escape';

/** The profile's name inside every answer to conference.conf for a room. */
export const ROOM_PROFILE = 'room';

/** The channel variable in which a member shows as whom it was let into which room, should nobody else know it any more. */
export const ROOM_PROOF_VARIABLE = 'switchyard_room_proof';

export interface EnterRoom extends CallVariables {
  context: string;
  /** What FreeSWITCH calls the conference. */
  sessionId: string;
  participantId: string;
  /** Shown to the others. */
  name: string;
  moderator: boolean;
  muted: boolean;
  videoMuted: boolean;
  deaf: boolean;
  audioOnly: boolean;
  /** What they may send, in kilobit a second; left out: as they like. */
  maxVideoKbps?: number;
  /** A token of ours; left out: nothing proves later who this is. */
  proof?: string;
}

function set(name: string, value: string): Action {
  return { app: 'set', data: `${name}=${value}` };
}

function plain(value: string, what: string): string {
  if (!isPlainValue(value)) throw new SwitchyardError('invalid_request', `${what} is not an id.`);
  return value;
}

function ownVariables(o: CallVariables): Action[] {
  const callId = plain(o.callId, 'The call id');
  return [
    set('switchyard_call_id', callId),
    ...(o.legRole ? [set('switchyard_leg', o.legRole)] : []),
    set('accountcode', callId),
  ];
}

/** What is left of the codecs where no video is wanted. */
const AUDIO_CODECS = ['OPUS', 'PCMU', 'PCMA'];

const inKilobit = (kbps: number): string => `${Math.floor(kbps)}kb`;

function videoLimit(kbps: number | undefined): Action[] {
  if (kbps === undefined) return [];
  const value = inKilobit(kbps);
  return [set('rtp_video_max_bandwidth_in', value), set('rtp_video_max_bandwidth_out', value)];
}

/**
 * Enters the room on this node. Whether somebody may is decided before, so FreeSWITCH's own lock and PIN are not asked
 * (`conference_enforce_security`). After the room the channel ends.
 */
export function enterRoomPlan(o: EnterRoom): string {
  const flags = [o.moderator && 'moderator', o.muted && 'mute', o.videoMuted && 'vmute', o.deaf && 'deaf'].filter(
    (flag) => flag !== false,
  );
  const room = `${plain(o.sessionId, 'The session id')}@${ROOM_PROFILE}`;
  return dialplanXml(o.context, 'room', [
    ...ownVariables(o),
    set('switchyard_participant_id', plain(o.participantId, 'The participant id')),
    ...(o.proof === undefined ? [] : [set(ROOM_PROOF_VARIABLE, plain(o.proof, 'The proof'))]),
    set('conference_enforce_security', 'false'),
    { app: 'set_profile_var', data: `caller_id_name=${callerNameText(o.name)}` },
    ...(o.audioOnly ? [set('absolute_codec_string', AUDIO_CODECS.join(','))] : []),
    // Not what they get: that would be an encoder of their own, which nothing changes in step with those of the room.
    ...(o.maxVideoKbps === undefined ? [] : [set('rtp_video_max_bandwidth_in', inKilobit(o.maxVideoKbps))]),
    { app: 'answer' },
    { app: 'conference', data: flags.length > 0 ? `${room}+flags{${flags.join('|')}}` : room },
    { app: 'hangup', data: 'NORMAL_CLEARING' },
  ]);
}

/** What a caller hears instead of words, which a node may not have: three rising tones, as the network's own. */
const REFUSAL_TONE = 'tone_stream://%(330,15,950);%(330,15,1400);%(330,1000,1800)';
const ASK_TONE = 'tone_stream://%(200,100,660);%(200,0,880)';
const WRONG_TONE = 'tone_stream://%(400,100,350);loops=2';
const PIN_WAIT_MS = 8000;
const PIN_MAX_DIGITS = 12;

export interface AskPin extends CallVariables {
  context: string;
  /** Dialled again with the digits, so that Switchyard sees them; the node never knows the PIN. */
  destination: string;
  /** How often it was asked before. */
  triesBefore: number;
  /** How often nobody pressed anything, of these. */
  silentBefore?: number;
  /** What was pressed last is wrong; left out: where it was asked before. */
  wasWrong?: boolean;
}

/** The variables in which the digits come back. */
export const PIN_VARIABLE = 'switchyard_pin';
export const PIN_TRIES_VARIABLE = 'switchyard_pin_tries';
export const PIN_SILENT_VARIABLE = 'switchyard_pin_silent';

/**
 * What a node's call record holds and nobody may keep: the digits of a PIN, twice (FreeSWITCH writes every key that was
 * pressed into `digits_dialed`), and the token by which a call was handed over.
 */
export const SECRET_VARIABLES = [PIN_VARIABLE, 'digits_dialed', 'sip_h_X-Switchyard-Token'] as const;

/** Takes digits up to `#`, then asks the dialplan again. Nothing pressed comes back as an empty PIN. */
export function askPinPlan(o: AskPin): string {
  const destination = addressPart(o.destination, 'The number');
  return dialplanXml(o.context, 'pin', [
    ...ownVariables(o),
    { app: 'answer' },
    set(PIN_VARIABLE, ''),
    ...((o.wasWrong ?? o.triesBefore > 0) ? [{ app: 'playback', data: WRONG_TONE }] : []),
    {
      app: 'play_and_get_digits',
      data: `0 ${PIN_MAX_DIGITS} 1 ${PIN_WAIT_MS} # ${ASK_TONE} silence_stream://1 ${PIN_VARIABLE} \\d* 3000`,
    },
    set(PIN_TRIES_VARIABLE, String(o.triesBefore + 1)),
    set(PIN_SILENT_VARIABLE, String(o.silentBefore ?? 0)),
    { app: 'transfer', data: `${destination} XML ${addressPart(o.context, 'The context')}` },
  ]);
}

/** Ends a caller who has been answered already: a tone instead of a SIP status. */
export function turnAwayPlan(o: CallVariables & { context: string; reason: string }): string {
  return dialplanXml(o.context, 'turned-away', [
    ...ownVariables(o),
    set('switchyard_refused', callerNameText(o.reason)),
    { app: 'playback', data: REFUSAL_TONE },
    { app: 'hangup', data: 'CALL_REJECTED' },
  ]);
}

export interface BridgeToRoom extends CallVariables {
  context: string;
  /** The node that has the room. */
  host: string;
  internodePort: number;
  token: string;
  name: string;
  number: string;
  maxVideoKbps?: number;
  audioOnly: boolean;
}

/** The user part of every call between nodes that leads into a room: the token says which. */
export const ROOM_EXTENSION = 'room';

/** Goes on to the node that has the room; sound and video pass through this one. */
export function bridgeToRoomPlan(o: BridgeToRoom): string {
  if (!isHostPart(o.host))
    throw new SwitchyardError('invalid_request', "The host contains characters that can't be dialled.");
  const callId = plain(o.callId, 'The call id');
  const variables = [
    'switchyard_leg=transit',
    `switchyard_call_id=${callId}`,
    `accountcode=${callId}`,
    `sip_h_X-Switchyard-Token=${plain(o.token, 'The token')}`,
    `sip_h_X-Switchyard-Call=${callId}`,
    'sip_h_X-Switchyard-Leg=to',
    // Else a telephone would be offered on with a video, and stand in the room as an empty tile.
    ...(o.audioOnly ? [`absolute_codec_string=^^:${AUDIO_CODECS.join(':')}`] : []),
  ];
  return dialplanXml(o.context, 'room-elsewhere', [
    ...ownVariables(o),
    set('effective_caller_id_name', callerNameText(o.name)),
    set('effective_caller_id_number', callerNameText(o.number)),
    set('hangup_after_bridge', 'true'),
    set('sip_copy_custom_headers', 'false'),
    ...(o.audioOnly ? [set('absolute_codec_string', AUDIO_CODECS.join(','))] : []),
    ...videoLimit(o.maxVideoKbps),
    { app: 'export', data: 'nolocal:media_mix_inbound_outbound_codecs=true' },
    {
      app: 'bridge',
      data: `[${variables.join(',')}]sofia/internode/${ROOM_EXTENSION}@${hostAndPort(o.host, o.internodePort)}`,
    },
    { app: 'hangup', data: '${originate_disposition}' },
  ]);
}
