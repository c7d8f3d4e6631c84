/**
 * Decides what becomes of a channel that no living call explains: pure. A conversation is never ended here. What talks is
 * adopted, or told where nobody can say whose it is; what nobody let in, and what somebody asked to end, is ended at once;
 * and a single leg that waits for nothing is ended after a while.
 */

/** A channel of ours that hears nobody, and whose call is over or unknown, is ended after this. */
export const ALONE_LIMIT_MS = 10_000;
/** One in a context of ours that names no call: it never got a plan, or lost who made it. */
export const PLANLESS_LIMIT_MS = 120_000;

export interface Unaccounted {
  /** It is on its way out already: its record is being sent, or its BYE is under way. */
  isEnding: boolean;
  /** It was answered, came by a door of ours, and no plan of ours let it in. */
  isUnadmitted: boolean;
  /** It hears another channel, or is in a room with others. */
  talks: boolean;
  /** Since when it was seen to hear nobody. */
  aloneMs: number;
  /**
   * `live`: its events were missed. `over`: the row has ended. `asked`: somebody asked for its end, or a limit did.
   * `unwritten`: it was let through while the database was away. `unknown`: there is no row. `none`: it names no call.
   */
  call: 'live' | 'over' | 'asked' | 'unwritten' | 'unknown' | 'none';
  /** Its row, or what it shows, proves whose call it is. */
  isProven: boolean;
  /** In a context in which every channel belongs to a call. */
  isInOurContext: boolean;
}

export type Verdict =
  | { do: 'leave' }
  /** Its events are made up for. */
  | { do: 'take in' }
  | { do: 'adopt' }
  /** It talks on, and nobody knows whose call it is. */
  | { do: 'tell' }
  | { do: 'end'; why: 'unadmitted' | 'asked' | 'alone' | 'planless' };

export function judgeUnaccounted(channel: Unaccounted): Verdict {
  if (channel.isEnding || channel.call === 'unwritten') return { do: 'leave' };
  if (channel.call === 'live') return { do: 'take in' };
  if (channel.call === 'asked') return { do: 'end', why: 'asked' };
  if (channel.call === 'none') return judgeNameless(channel);
  if (channel.isProven && (channel.talks || channel.call === 'unknown')) return { do: 'adopt' };
  if (channel.talks) return { do: 'tell' };
  return channel.aloneMs >= ALONE_LIMIT_MS ? { do: 'end', why: 'alone' } : { do: 'leave' };
}

function judgeNameless(channel: Unaccounted): Verdict {
  if (channel.isUnadmitted) return { do: 'end', why: 'unadmitted' };
  if (!channel.isInOurContext) return { do: 'leave' }; // somebody works at the node by hand
  if (channel.talks) return { do: 'tell' };
  return channel.aloneMs >= PLANLESS_LIMIT_MS ? { do: 'end', why: 'planless' } : { do: 'leave' };
}
