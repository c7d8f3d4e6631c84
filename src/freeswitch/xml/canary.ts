/** Plans of the synthetic call: one end plays a tone, the other listens, and both meet in a room of their own. */
import { SwitchyardError } from '../../errors';
import { dialplanXml, type Action } from './dialplan';
import { isPlainValue } from './escape';
import { playable, ROOM_BASE, type ProfileParams, type RoomConfiguration } from './configuration/conference';
import { ROOM_PROFILE } from './room';
import { CANARY_CONTEXT } from '../contexts';

/** Set on all its channels, so that they can be ended together. */
export const CANARY_VARIABLE = 'switchyard_canary';

export const CANARY_STEPS = ['speak', 'listen', 'enter'] as const;
export type CanaryStep = (typeof CANARY_STEPS)[number];

/** They end by themselves after so long, also where Switchyard died in the meantime. */
const LONGEST_MS = 20_000;

export interface CanaryPlan {
  step: CanaryStep;
  /** What FreeSWITCH calls the room. */
  name: string;
  /** The tone that is played. */
  toneHz: number;
}

/** `speak` and `listen` are the far ends of two calls of the node to itself; `enter` is what their near ends do. */
export function canaryPlan(o: CanaryPlan): string {
  if (!isPlainValue(o.name) || !Number.isInteger(o.toneHz)) {
    throw new SwitchyardError('invalid_request', "A canary's name and tone are plain.");
  }
  const sound =
    o.step === 'speak'
      ? `tone_stream://v=-10;%(1000,0,${o.toneHz});loops=${LONGEST_MS / 1000}`
      : `silence_stream://${LONGEST_MS}`;
  const act: Action =
    o.step === 'enter' ? { app: 'conference', data: `${o.name}@${ROOM_PROFILE}` } : { app: 'playback', data: sound };
  return dialplanXml(CANARY_CONTEXT, o.step, [
    { app: 'set', data: `${CANARY_VARIABLE}=${o.name}` },
    // It is nobody's call: no record of it is sent (switch_core_session_reporting_state).
    { app: 'set', data: 'process_cdr=false' },
    { app: 'set', data: 'conference_enforce_security=false' },
    { app: 'answer' },
    act,
    { app: 'hangup', data: 'NORMAL_CLEARING' },
  ]);
}

const PROFILE: ProfileParams = {
  ...ROOM_BASE,
  rate: 16000,
  'comfort-noise': false,
  // Else FreeSWITCH speaks to whoever is first, who hears nobody else in the meantime: the canary found that out.
  'alone-sound': playable('silence'),
};

/** What a node is told of the canary's room: sound alone, and nothing that sounds by itself. */
export const canaryRoom = (): RoomConfiguration => ({ profile: PROFILE });
