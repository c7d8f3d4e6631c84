/** The contexts of the dialplan. In which one a channel asks says how it came here, and so what it may do. */

/** Phones: what comes in by the profile `internal`. */
export const USERS_CONTEXT = 'users';
/** Other nodes of the pool: what comes in by the profile `internode`. */
export const INTERNODE_CONTEXT = 'internode';
/** What Switchyard originates or transfers on. No profile leads into it. */
export const CALLS_CONTEXT = 'calls';
/** Channels that are sent into a room. No profile leads into it, and only a ticket opens it. */
export const ROOMS_CONTEXT = 'rooms';
/** Synthetic calls. No profile leads into it: only what Switchyard originates asks here. */
export const CANARY_CONTEXT = 'canary';

/** A channel in any other is none of ours. */
export const CONTEXTS: readonly string[] = [
  USERS_CONTEXT,
  INTERNODE_CONTEXT,
  CALLS_CONTEXT,
  ROOMS_CONTEXT,
  CANARY_CONTEXT,
];
