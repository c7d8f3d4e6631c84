/** Knows by its cause whether a leg ended because its phone was not heard of any more, and not because somebody hung up. */

/** No packet came for so long (MEDIA_TIMEOUT), or a request within the call was never answered. */
const LOST: readonly string[] = ['MEDIA_TIMEOUT', 'RECOVERY_ON_TIMER_EXPIRE'];

/** Of a leg that talked: one that only rang and did not answer was never there. */
export const isPhoneLost = (cause: string | null | undefined): boolean => LOST.includes(cause ?? '');
