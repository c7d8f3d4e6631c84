/** Answers who a user is, thousands of times a second, and goes on answering for known users while Postgres is away. */
import type { Pool } from 'pg';
import { SwitchyardError } from '../../errors';
import { isUnreachable } from '../../infra/db';

export interface DirectoryUser {
  id: string;
  domainId: string;
  domain: string;
  username: string;
  displayName: string;
  callerNumber: string;
  ha1: string;
  enabled: boolean;
}

export interface Directory {
  /**
   * @returns the user, or undefined where there is none.
   * @throws unavailable where it can't be known: "not found" would turn a doctor away for a database's fault.
   */
  findUser(username: string, domain: string): Promise<DirectoryUser | undefined>;
  /** @returns what was looked up just now, null where there was no such user; undefined where findUser must ask. */
  readFresh(username: string, domain: string): DirectoryUser | null | undefined;
  /** Forgets what is kept of the user, after a change. */
  forget(username: string, domain: string): void;
}

/** What is this old is answered without asking again: it bounds how long a revoked user may still come in. */
const FRESH_MS = 1000;
/** Users remembered for the time in which Postgres is away. */
const REMEMBERED = 100_000;
/** Names that are nobody's; apart from the users, since whoever guesses names must not make us forget a user. */
const ABSENT_REMEMBERED = 10_000;
/** Questions asked of Postgres in one query, and queries under way at once: 16 users cost little more than one. */
const BATCH_LIMIT = 100;
const QUERIES_AT_ONCE = 2;

/** `limit 1` holds the planner to one index look-up for each name, whatever it thinks of the tables' sizes. */
const LOOK_UP = {
  name: 'directory-users',
  rowMode: 'array' as const,
  text: `select asked.n::int, u.* from unnest($1::text[], $2::text[]) with ordinality as asked(domain, username, n),
         lateral (select u.id, u.domain_id, d.name, u.username, u.display_name, u.caller_number, u.ha1, u.enabled
           from domains d join users u on u.domain_id = d.id
           where d.name = asked.domain and u.username = asked.username limit 1) u`,
};

/** The columns of LOOK_UP; the first is the place in the question, from 1. */
type Row = [number, string, string, string, string, string, string | null, string, boolean];

interface Entry {
  user: DirectoryUser;
  atMs: number;
}

interface Lookup {
  key: string;
  username: string;
  domain: string;
  answer: Promise<DirectoryUser | undefined>;
  resolve: (user: DirectoryUser | undefined) => void;
  reject: (error: unknown) => void;
}

function readRow(row: Row): DirectoryUser {
  return {
    id: row[1],
    domainId: row[2],
    domain: row[3],
    username: row[4],
    displayName: row[5],
    callerNumber: row[6] ?? row[4],
    ha1: row[7],
    enabled: row[8],
  };
}

/** A name with control characters is nobody's, and one NUL would make Postgres refuse its neighbours' questions too. */
const NOBODYS = /[\u0000-\u001f\u007f]/;
const MAX_NAME = 512;

export function createDirectory(pool: Pool, now: () => number): Directory {
  const users = new Map<string, Entry>();
  const absent = new Map<string, number>();
  const pending = new Map<string, Lookup>();
  const waiting: Lookup[] = [];
  let queries = 0;
  let scheduled = false;

  const keyOf = (username: string, domain: string): string => `${username}\n${domain}`;

  function remember(lookup: Lookup, user: DirectoryUser | undefined, atMs: number): void {
    // Whoever was changed while the question was under way was forgotten: this answer may be the old one.
    if (pending.get(lookup.key) !== lookup) return;
    pending.delete(lookup.key);
    users.delete(lookup.key); // a Map keeps its order: the longest unasked stand first
    absent.delete(lookup.key);
    if (user) users.set(lookup.key, { user, atMs });
    else absent.set(lookup.key, atMs);
    if (users.size > REMEMBERED) users.delete(users.keys().next().value!);
    if (absent.size > ABSENT_REMEMBERED) absent.delete(absent.keys().next().value!);
  }

  function fail(lookups: Lookup[], error: unknown): void {
    for (const lookup of lookups) {
      if (pending.get(lookup.key) === lookup) pending.delete(lookup.key);
      lookup.reject(error);
    }
  }

  async function ask(lookups: Lookup[]): Promise<void> {
    const atMs = now();
    try {
      const values = [lookups.map((l) => l.domain), lookups.map((l) => l.username)];
      const { rows } = await pool.query<Row>({ ...LOOK_UP, values });
      const found = new Array<DirectoryUser | undefined>(lookups.length);
      for (const row of rows) found[row[0] - 1] = readRow(row);
      lookups.forEach((lookup, i) => {
        remember(lookup, found[i], atMs);
        lookup.resolve(found[i]);
      });
    } catch (error) {
      fail(lookups, error);
      if (isUnreachable(error)) fail(waiting.splice(0), error); // they would only wait as long for the same
    }
  }

  function askNext(): void {
    scheduled = false;
    while (waiting.length > 0 && queries < QUERIES_AT_ONCE) {
      queries += 1;
      void ask(waiting.splice(0, BATCH_LIMIT)).finally(() => {
        queries -= 1;
        askNext();
      });
    }
  }

  function lookUp(key: string, username: string, domain: string): Promise<DirectoryUser | undefined> {
    const underWay = pending.get(key);
    if (underWay) return underWay.answer;
    const lookup = { key, username, domain } as Lookup;
    lookup.answer = new Promise((resolve, reject) => Object.assign(lookup, { resolve, reject }));
    pending.set(key, lookup);
    waiting.push(lookup);
    if (!scheduled && queries < QUERIES_AT_ONCE) {
      scheduled = true;
      setImmediate(askNext); // whoever else asks in this turn comes along
    }
    return lookup.answer;
  }

  function readFresh(username: string, domain: string): DirectoryUser | null | undefined {
    const key = keyOf(username, domain.toLowerCase());
    const known = users.get(key);
    if (known) return now() - known.atMs < FRESH_MS ? known.user : undefined;
    const absentMs = absent.get(key);
    return absentMs !== undefined && now() - absentMs < FRESH_MS ? null : undefined;
  }

  return {
    readFresh,
    async findUser(username, domain) {
      const fresh = readFresh(username, domain);
      if (fresh !== undefined) return fresh ?? undefined;
      if (username.length > MAX_NAME || domain.length > MAX_NAME) return undefined;
      if (NOBODYS.test(username) || NOBODYS.test(domain)) return undefined;
      const name = domain.toLowerCase();
      const key = keyOf(username, name);
      try {
        return await lookUp(key, username, name);
      } catch (error) {
        if (!isUnreachable(error)) throw error;
        const known = users.get(key);
        if (known) return known.user;
        throw new SwitchyardError('unavailable', 'The user can not be looked up: the database is out of reach.', {
          cause: error,
        });
      }
    },
    forget(username, domain) {
      const key = keyOf(username, domain.toLowerCase());
      const known = users.get(key);
      if (known) known.atMs = -Infinity;
      absent.delete(key);
      pending.delete(key);
    },
  };
}
