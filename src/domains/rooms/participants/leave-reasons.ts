/** Why somebody is about to be out of a room, written before their channel is ended: its end itself does not tell. */
import { SESSION_ENDS } from '../sessions/sessions.store';

/** What `participant.left` and `leaveReason` say; where the room itself has ended, what its session says. */
export const LEAVE_REASONS = [
  'hung_up',
  'connection_lost',
  'hold_limit',
  'removed',
  'moved_to_room',
  'grant_revoked',
  'user_disabled',
  'user_deleted',
  'never_came',
  ...SESSION_ENDS,
] as const;
export type LeaveReason = (typeof LEAVE_REASONS)[number];

/** Somebody put them out, or sent them elsewhere: they do not come back by an old grant, and are not adopted. */
const PUT_OUT: readonly LeaveReason[] = [
  'removed',
  'moved_to_room',
  'grant_revoked',
  'user_disabled',
  'user_deleted',
  'hold_limit',
  'closed',
  'moderator_left',
];
export const isPutOut = (reason: string | null): boolean => (PUT_OUT as readonly (string | null)[]).includes(reason);

/** Networks change and laptops are shut during a meeting: they may come back within this time of leaving. */
export const COME_BACK_SECONDS = 120;
