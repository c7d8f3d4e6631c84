/** Stands where nodes ask for passwords: knows by itself which were wrong, and refuses those who guess. */
import { LRUCache } from 'lru-cache';
import { provesPassword, proofMark, type UserRequest } from '../../freeswitch/xml';
import { isGrantName } from '../grants/grant-name';
import type { DirectoryUser } from '../users/directory';
import { countedAddress } from './addresses';
import { startBan, type BansDeps } from './bans';
import { isRegisteredFrom } from './bans.store';
import type { FailureEvents } from './failure-events';
import { decideAfterLogin, GOOD_MS, LOGIN_LIMIT, LOGIN_WINDOW_MS, type Step } from './levels';
import type { Tally } from './tally';

/** `narrow`: refused, except the right password of one who got in from there within a day. */
export type Gate = 'open' | 'narrow' | 'shut';

export interface LoginGuard {
  /** Before the user is looked up, from memory alone. */
  check(question: UserRequest): Gate;
  /**
   * After the look-up: counts what was shown. Nobody waits for the counting.
   * @param user undefined where there is none
   * @returns whether the node gets an answer; a promise only where the gate is narrow
   */
  take(question: UserRequest, user: DirectoryUser | undefined, gate: Gate, node: string): boolean | Promise<boolean>;
}

export interface LoginGuardDeps extends BansDeps {
  tally: Tally;
  failures: FailureEvents;
  isNever: (address: string) => boolean;
  countFailure: (kind: 'password' | 'unknown_user') => void;
  countRefusal: (why: 'banned' | 'slowed') => void;
  now: () => number;
  /** Made by random where a question shows no proof, since such a failure is none of those before. */
  createMark: () => string;
}

const USERNAME = /^[A-Za-z0-9._-]{1,64}$/;
const METHOD = /^[A-Z]{1,16}$/;
const DOMAIN = /^[a-z0-9._-]{1,253}$/;
/** A login that was noted is noted again after this: a phone that registers every minute is one line in Redis an hour. */
const NOTED_MS = GOOD_MS / 24;
const MOST_NOTED = 100_000;
/** A second question comes within milliseconds. */
const MOST_MARKS = 4096;

/** Who is tried, from where. What can be no user's name is one name for all: a flood of them is one entry. */
interface Attempt {
  address: string;
  username: string;
  domain: string;
  /** `NAME@DOMAIN` */
  user: string;
}

function attemptOf({ networkIp, username, domain }: UserRequest): Attempt {
  const name = USERNAME.test(username) ? username : '?';
  const realm = DOMAIN.test(domain.toLowerCase()) ? domain.toLowerCase() : '?';
  return { address: countedAddress(networkIp), username: name, domain: realm, user: `${name}@${realm}` };
}

export const addressKey = (door: 'sip' | 'api', address: string): string => `${door}|${address}`;
const loginKey = ({ address, user }: Attempt): string => `login|${user}|${address}`;

export function createLoginGuard(deps: LoginGuardDeps): LoginGuard {
  const { refusals, tally, logger } = deps;
  const noted = new LRUCache<string, number>({ max: MOST_NOTED });
  /** Bans that are being written: a hundred failures at once are one. */
  const beginning = new Set<string>();
  const toldMarks = new LRUCache<string, true>({ max: MOST_MARKS });

  function gateOf(attempt: Attempt): { gate: Gate; why: 'banned' | 'slowed' } {
    const refused = refusals.find(addressKey('sip', attempt.address));
    const address = refused && !deps.isNever(attempt.address) ? refused : undefined;
    if (address?.banId !== undefined && !address.spared.has(attempt.user)) return { gate: 'shut', why: 'banned' };
    const login = refusals.find(loginKey(attempt));
    const isAddress = address !== undefined && !address.spared.has(attempt.user);
    if (login === undefined && !isAddress) return { gate: 'open', why: 'slowed' };
    return { gate: 'narrow', why: (login ?? address)!.banId === undefined ? 'slowed' : 'banned' };
  }

  /** Somebody got in: their address is one where people belong. */
  function noteGood({ address, user }: Attempt): void {
    const key = `${address}|${user}`;
    const atMs = noted.get(key);
    if (atMs !== undefined && deps.now() - atMs < NOTED_MS) return;
    noted.set(key, deps.now());
    void tally.note({ key: `good:${address}`, member: user }, GOOD_MS);
  }

  async function gotInBefore({ address, user }: Attempt): Promise<boolean> {
    const atMs = noted.get(`${address}|${user}`);
    if (atMs !== undefined && deps.now() - atMs < GOOD_MS) return true;
    return (await tally.check(`good:${address}`, user, GOOD_MS)).has;
  }

  /**
   * Over UDP a stranger writes whatever address he likes on his guesses (a node's nonce is bound to none, and a Via's
   * transport is the sender's own word). So failures alone never shut out who belongs there and has the password.
   */
  async function mayStay(attempt: Attempt, user: DirectoryUser, question: UserRequest): Promise<boolean> {
    if (await gotInBefore(attempt)) return true;
    const { networkIp, networkPort } = question;
    if (networkIp === undefined || networkPort === undefined) return false;
    return isRegisteredFrom(deps.db, user.id, networkIp, networkPort).catch(() => false);
  }

  async function countFailure(attempt: Attempt, member: string): Promise<void> {
    const { address, user } = attempt;
    const marks = [
      { key: `login:${user}|${address}`, member },
      { key: `user:${user}`, member: address },
    ];
    const [[ofLogin = 0, addressesOfUser = 0], good] = await Promise.all([
      tally.count(marks, LOGIN_WINDOW_MS),
      tally.check(`good:${address}`, user, GOOD_MS),
    ]);
    // One who fails on and on counts for an address as a few do: it is not shut for one phone with an old password.
    const ofThem = { key: `address:${address}`, member: `${user}|${Math.min(ofLogin, LOGIN_LIMIT)}` };
    const [ofAddress = 0] = await tally.count([ofThem], LOGIN_WINDOW_MS);
    const steps = decideAfterLogin(
      { ofAddress, ofLogin, addressesOfUser, goodUsers: good.size, isGood: good.has },
      deps.isNever(address),
    );
    await carryOut(steps.address, addressKey('sip', address), async () => {
      const spared = await tally.list(`good:${address}`, GOOD_MS);
      const target = { kind: 'address', key: addressKey('sip', address), door: 'sip', address } as const;
      await startBan(deps, { ...target, reason: 'wrong_passwords', failures: Math.max(ofAddress, ofLogin), spared });
      await tally.forget([`address:${address}`, `login:${user}|${address}`]);
    });
    await carryOut(steps.login, loginKey(attempt), async () => {
      const { username, domain } = attempt;
      const target = { kind: 'login', key: loginKey(attempt), door: 'sip', address, username, domain } as const;
      await startBan(deps, { ...target, reason: 'wrong_passwords', failures: ofLogin });
      await tally.forget([`login:${user}|${address}`]);
    });
  }

  async function carryOut(step: Step, key: string, ban: () => Promise<void>): Promise<void> {
    if (step.do === 'slow') refusals.slow(key, step.ms);
    if (step.do !== 'ban' || beginning.has(key) || refusals.find(key)?.banId !== undefined) return;
    beginning.add(key);
    await ban().finally(() => beginning.delete(key));
  }

  /** Where the answer is "not found" a node asks once more: that is one failure, and told as one. */
  function isTold(mark: string): boolean {
    if (toldMarks.has(mark)) return true;
    toldMarks.set(mark, true);
    return false;
  }

  function noteFailure(question: UserRequest, user: DirectoryUser | undefined, attempt: Attempt, node: string): void {
    const member = question.proof ? proofMark(question.proof) : deps.createMark();
    if (isTold(member)) return;
    deps.countFailure(user ? 'password' : 'unknown_user');
    // A grant's own login is no user's, and long and random: only its address is of interest.
    if (user && !isGrantName(user.username)) {
      const { address } = attempt;
      const method = METHOD.exec(question.sipMethod ?? '')?.[0] ?? '';
      deps.failures.add({
        domainId: user.domainId,
        userId: user.id,
        username: user.username,
        address,
        node,
        method,
      });
    }
    countFailure(attempt, member).catch((error: unknown) =>
      logger.error({ err: error }, 'a failed login was not counted'),
    );
  }

  return {
    check(question) {
      if (refusals.isEmpty) return 'open';
      const { gate, why } = gateOf(attemptOf(question));
      if (gate === 'shut') deps.countRefusal(why);
      return gate;
    },
    take(question, user, gate, node) {
      if (gate === 'shut') return false;
      const { proof } = question;
      // A page whose grant is over comes back with it: no one guesses a name of 130 random bits.
      const isOver = !user && isGrantName(question.username);
      const isRight = user?.ha1 && proof ? provesPassword(proof, user.ha1) : undefined;
      const isWrong = !isOver && (!user || isRight === false);
      const attempt = attemptOf(question);
      if (gate === 'open') {
        if (isWrong) noteFailure(question, user, attempt, node);
        else if (isRight && user?.enabled) noteGood(attempt);
        return true;
      }
      const { why } = gateOf(attempt);
      // What fails while it is banned is neither news nor needed for more.
      if (isWrong && why === 'slowed') noteFailure(question, user, attempt, node);
      const refuse = (): false => {
        deps.countRefusal(why);
        return false;
      };
      if (!user || !isRight) return refuse();
      return mayStay(attempt, user, question).then((may) => {
        if (!may) return refuse();
        if (user.enabled) noteGood(attempt);
        return true;
      });
    },
  };
}
