/**
 * Judges what a node lists of phones after it was started again: its list is a database of its own, and outlives it. Pure.
 */

export type ListedPhone =
  /** It has registered with this process. */
  | 'proven'
  /** It may be there: a telephone by UDP that registered for an hour knows nothing of the restart. */
  | 'unproven'
  /** Its socket ended with the process before, and there is no other way to it. */
  | 'gone';

/**
 * @param lastHeardMs when the phone last showed its password there; undefined: that can't be known now
 * @param startedMs when the node's process began
 */
export function judgeListed(transport: string, lastHeardMs: number | undefined, startedMs: number): ListedPhone {
  if (lastHeardMs === undefined || lastHeardMs >= startedMs) return 'proven';
  return transport.toLowerCase() === 'udp' ? 'unproven' : 'gone';
}
