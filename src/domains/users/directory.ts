/** Answers who a user is, thousands of times a second, and goes on answering for known users while Postgres is away. */
import type { Pool } from 'pg';
import { createReadThroughCache } from '../../infra/flow/read-through-cache';
import { openDigest } from '../../infra/secrets';
import { createNumberLookup } from './number-lookup';
import { SPELLING_LOOKUP, USER_LOOKUP, type UserLookupRow } from './directory.store';

export interface DirectoryUser {
  id: string;
  /** The user, also where this is a grant's login; null: a guest's. */
  userId: string | null;
  domainId: string;
  domain: string;
  username: string;
  displayName: string;
  callerNumber: string;
  /** What a node checks a password against; null where it can't be opened: then nobody gets in with it. */
  ha1: string | null;
  /** As it stands in the row. */
  sealedHa1: string;
  enabled: boolean;
  /** Whether a phone may be registered with it: a user's may, and a grant's for a user. */
  mayRegister: boolean;
}

export interface Directory {
  /**
   * @returns the user, or undefined where there is none.
   * @throws unavailable where it can't be known: "not found" would turn a doctor away for a database's fault.
   */
  findUser(username: string, domain: string): Promise<DirectoryUser | undefined>;
  /** The user whom this number leads to, however it is written. @throws unavailable where it can't be known */
  findByNumber(text: string, domain: string): Promise<DirectoryUser | undefined>;
  /**
   * The user who is meant by whoever dials, where nobody's name is written so: `BERT` for `bert`. Not for logins, since a
   * digest is made over the name as it is written.
   * @throws unavailable where it can't be known
   */
  findByAnySpelling(username: string, domain: string): Promise<DirectoryUser | undefined>;
  /** @returns what was looked up just now, null where there was no such user; undefined where findUser must ask. */
  readFresh(username: string, domain: string): DirectoryUser | null | undefined;
  /** Forgets what is kept of the user, after a change. */
  forget(username: string, domain: string): void;
}

/** A look-up is made again every second, and the digest it finds is nearly always the same: it is opened when it has changed. */
export function readDigest(
  secretKey: Buffer,
  login: Pick<DirectoryUser, 'username' | 'domain' | 'sealedHa1'>,
  before: Pick<DirectoryUser, 'ha1' | 'sealedHa1'> | undefined,
): string | null {
  if (before?.sealedHa1 === login.sealedHa1) return before.ha1;
  try {
    return openDigest(secretKey, login, login.sealedHa1);
  } catch {
    return null; // in a look-up of a hundred names one bad row is no reason to answer nobody
  }
}

function readRow(secretKey: Buffer, columns: unknown[], before: DirectoryUser | undefined): DirectoryUser {
  const row = columns as UserLookupRow;
  const login = { domain: row[3], username: row[4], sealedHa1: row[7] };
  return {
    id: row[1],
    userId: row[1],
    domainId: row[2],
    ...login,
    displayName: row[5],
    callerNumber: row[6] ?? row[4],
    ha1: readDigest(secretKey, login, before),
    enabled: row[8],
    mayRegister: true,
  };
}

const AWAY = "The user can't be looked up: the database is unavailable.";

export function createDirectory(pool: Pool, now: () => number, secretKey: Buffer): Directory {
  const { find, readFresh, forget } = createReadThroughCache<DirectoryUser>({
    pool,
    now,
    statement: USER_LOOKUP,
    readRow: (row, before) => readRow(secretKey, row, before),
    away: AWAY,
  });
  const readRowName = (row: unknown[]): string => row[1] as string;
  const spellings = createReadThroughCache<string>({
    pool,
    now,
    statement: SPELLING_LOOKUP,
    readRow: readRowName,
    away: AWAY,
  });
  const numbers = createNumberLookup(pool, now);
  return {
    findUser: find,
    readFresh,
    async findByAnySpelling(username, domain) {
      const own = await spellings.find(username, domain);
      return own === undefined ? undefined : find(own, domain);
    },
    async findByNumber(text, domain) {
      const holder = await numbers.findHolder(text, domain);
      return holder === undefined ? undefined : find(holder, domain);
    },
    forget(username, domain) {
      forget(username, domain);
      numbers.forgetHolder(username);
      spellings.drop((own) => own === username);
    },
  };
}
