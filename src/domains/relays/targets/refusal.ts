/** Why a target is not used: one coarse reason for whoever asked, and what exactly it was for the operator's log. */

/**
 * Whatever goes wrong before a target has answered in RTMP is told in these words, so that relays are no port scanner:
 * refused, silent and speaking something else look the same.
 */
export const UNREACHABLE = 'it can not be reached, or does not speak RTMP';
/** For names and addresses alike: which names exist inside, and where they lead, is nobody's outside. */
export const FORBIDDEN =
  'its name or address can not be used: it has to lead to public addresses only, and not to ours';

/** The message may be shown; `detail` is for the operator. Neither holds the stream's key. */
export class TargetRefused extends Error {
  constructor(
    message: string,
    readonly detail: string = message,
  ) {
    super(message);
  }
}
