/** The one rule for what has a name that is dialled: users and rooms. It can stand in an address, a dial string and a command. */
import { z } from 'zod';

/** Dialled in every domain: hear yourself. */
export const ECHO_NUMBER = '9196';

/** What may be in a request, and in an address that is kept; older ones may begin with a dot or a hyphen. */
export const DIALLED_NAME = /^[A-Za-z0-9._-]{1,64}$/;

/** A name as it is given to something new: whatever reads words takes a `-` or `.` in front for something else. */
export const newDialledName = z
  .string()
  .regex(DIALLED_NAME, 'must be 1 to 64 of A-Z a-z 0-9 . _ -')
  .regex(/^(?![.-])/, 'must not begin with . or -')
  .refine((name) => name !== ECHO_NUMBER, `must not be ${ECHO_NUMBER}, which every domain has already: the echo`);

/** For those who look for one: also a name from before. */
export const anyDialledName = z.string().regex(DIALLED_NAME, 'must be 1 to 64 of A-Z a-z 0-9 . _ -');

/**
 * An older name as a leg is sent to it: behind a hyphen in front a command reads a flag (`-both`). Who is called is read from
 * the call; this one is only compared with it.
 */
export const sentName = (name: string): string => name.replace(/^[.-]/, '_');
