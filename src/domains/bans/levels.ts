/** How much guessing is let pass, and how long it is refused after that: pure, so that each rule can be read and tested. */
import { backoffMs } from '../../infra/flow/backoff';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const DAY = 24 * 60 * MINUTE;

/** Failures older than this are forgotten. */
export const LOGIN_WINDOW_MS = 10 * MINUTE;
export const PIN_WINDOW_MS = 60 * MINUTE;
/** For how long a login from an address shows that somebody with a right belongs there. */
export const GOOD_MS = DAY;

/** So many failures are anybody's slip: nothing happens. */
const FREE_FAILURES = 4;
/** One user from one address, or an address from which nobody got in, is banned at this many. */
export const LOGIN_LIMIT = 10;
/** However many belong behind an address: this many failures from it in the window are no slips of theirs. */
const ADDRESS_LIMIT_MOST = 500;
/** One user who is guessed from so many addresses is guessed by many together. */
const BESIEGED_ADDRESSES = 10;
/** Keys are long and random: this is about load and noise, not about who could guess one. */
const API_LIMIT = 100;
/** Two calls with three tries each. */
export const PIN_LIMIT = 6;
/** From all callers together: ten thousand PINs at thirty for each ban are a year and more. */
export const ROOM_PIN_LIMIT = 30;

/** What was counted in the window, the failure that is decided about included. */
export interface LoginCounts {
  /** Of this user from this address. */
  ofLogin: number;
  /** Of all users from this address, each up to the limit. */
  ofAddress: number;
  /** From how many addresses this user was guessed. */
  addressesOfUser: number;
  /** Users who got in from this address within a day. */
  goodUsers: number;
  /** This user did. */
  isGood: boolean;
}

export type Step = { do: 'nothing' } | { do: 'slow'; ms: number } | { do: 'ban' };
const NOTHING: Step = { do: 'nothing' };

/** Twice as long each time: 1, 2, 4, 8 s. */
function slowBy(failures: number, mostMs: number): Step {
  const over = failures - FREE_FAILURES;
  return over > 0 ? { do: 'slow', ms: backoffMs(over, { firstMs: SECOND, longestMs: mostMs }) } : NOTHING;
}

/**
 * After a login that failed.
 * - An address from which nobody gets in is slowed as a whole, then banned.
 * - Behind an address with good users each failing user is slowed and banned there by themselves; the address follows
 *   only when more fails than all of them could mistype (a few passwords tried on many users).
 * - A user who is guessed from many addresses at once has, from an address they did not use before, one try a minute.
 * - An address that is never banned (a proxy, where all come from) is only slowed, for each user by themselves.
 */
export function decideAfterLogin(counts: LoginCounts, isNever: boolean): { login: Step; address: Step } {
  const { ofLogin, ofAddress, goodUsers, isGood } = counts;
  if (isNever) return { login: slowBy(ofLogin, MINUTE), address: NOTHING };
  const addressLimit = Math.min(LOGIN_LIMIT * (1 + goodUsers), ADDRESS_LIMIT_MOST);
  const failures = goodUsers === 0 ? Math.max(ofAddress, ofLogin) : ofAddress;
  if (failures >= addressLimit) return { login: NOTHING, address: { do: 'ban' } };
  if (counts.addressesOfUser >= BESIEGED_ADDRESSES && !isGood) {
    return { login: { do: 'slow', ms: Math.min(MINUTE * ofLogin, LOGIN_WINDOW_MS) }, address: NOTHING };
  }
  if (goodUsers === 0) return { login: NOTHING, address: slowBy(failures, 8 * SECOND) };
  if (ofLogin >= LOGIN_LIMIT) return { login: { do: 'ban' }, address: NOTHING };
  return { login: slowBy(ofLogin, 8 * SECOND), address: NOTHING };
}

/** After an API key or token that nobody has. Where good ones come from as well, the limit of requests is enough. */
export function decideAfterApiFailure(failures: number, goodCallers: number, isNever: boolean): Step {
  return !isNever && goodCallers === 0 && failures >= API_LIMIT ? { do: 'ban' } : NOTHING;
}

/** After a wrong PIN: whether the caller is refused, and whether the room asks no stranger any more. */
export function decideAfterPin(counts: { ofCaller: number; ofRoom: number }): { caller: Step; room: Step } {
  return {
    caller: counts.ofCaller >= PIN_LIMIT ? { do: 'ban' } : NOTHING,
    room: counts.ofRoom >= ROOM_PIN_LIMIT ? { do: 'ban' } : NOTHING,
  };
}

export type BanDoor = 'sip' | 'api' | 'room';

/** How long each level lasts. A mistake in a program's settings is mended in minutes: the API never shuts for longer. */
const DURATIONS_MS: Record<BanDoor, readonly number[]> = {
  sip: [MINUTE, 5 * MINUTE, 30 * MINUTE, 120 * MINUTE, DAY],
  room: [MINUTE, 5 * MINUTE, 30 * MINUTE, 120 * MINUTE, DAY],
  api: [MINUTE, 5 * MINUTE, 15 * MINUTE],
};
const HIGHEST_LEVEL = 5;
/** A day without a ban takes one level away. */
const DECAY_MS = DAY;

/** The last ban of the same key. */
export interface LastBan {
  level: number;
  endedAtMs: number;
  /** Somebody said that it was a mistake: it counts for nothing. */
  isForgiven: boolean;
}

export function nextLevel(last: LastBan | undefined, nowMs: number): number {
  if (!last || last.isForgiven) return 1;
  const decayed = Math.floor(Math.max(0, nowMs - last.endedAtMs) / DECAY_MS);
  return Math.min(HIGHEST_LEVEL, Math.max(0, last.level - decayed) + 1);
}

export function durationMs(door: BanDoor, level: number): number {
  const durations = DURATIONS_MS[door];
  return durations[Math.min(level, durations.length) - 1]!;
}
