/** The SIP name of a grant: random, and of a shape that no user may have, so that a look-up knows whom it is about. */
import { randomBytes } from 'node:crypto';

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';
const GRANT_NAME = /^g-[a-z2-7]{26}$/;

/** @param random 26 random bytes; five bits of each are taken, 130 in all */
export function createGrantName(random: Buffer = randomBytes(26)): string {
  return `g-${[...random.subarray(0, 26)].map((byte) => BASE32[byte & 31]).join('')}`;
}

export function isGrantName(username: string): boolean {
  return username.length === 28 && GRANT_NAME.test(username);
}
