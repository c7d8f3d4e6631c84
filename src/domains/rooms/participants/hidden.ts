/** How somebody who does not want to be shown is shown: to who is called, and to those in a room and their events. */

/** RFC 3323: what stands in the place of a name and a number. */
export const HIDDEN = { name: 'Anonymous', number: 'anonymous' } as const;

const PREFIX = 'anonymous:';

/** Another one for each call, so that nobody is known again by it. */
export const hiddenIdentity = (callId: string): string => `${PREFIX}${callId}`;

export const isHiddenIdentity = (identity: string): boolean => identity.startsWith(PREFIX);
