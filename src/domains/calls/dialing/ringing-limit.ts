/** How many calls of one domain may be placed or ring at once, where nobody says otherwise. */
export const DEFAULT_RINGING_ALLOWED = 500;

/** Asked before a call is dialled; a whole number, 0 where none may ring. */
export type RingingAllowed = (domainId: string) => Promise<number>;

export const allowDefault: RingingAllowed = () => Promise.resolve(DEFAULT_RINGING_ALLOWED);
