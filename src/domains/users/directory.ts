/** Answers who a user is, thousands of times a second, and goes on answering for known users while Postgres is away. */
import type { Pool } from 'pg';
import { createNameLookup } from '../../infra/lookup';

export interface DirectoryUser {
  id: string;
  domainId: string;
  domain: string;
  username: string;
  displayName: string;
  callerNumber: string;
  ha1: string;
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
  /** @returns what was looked up just now, null where there was no such user; undefined where findUser must ask. */
  readFresh(username: string, domain: string): DirectoryUser | null | undefined;
  /** Forgets what is kept of the user, after a change. */
  forget(username: string, domain: string): void;
}

/** `limit 1` holds the planner to one index look-up for each name, whatever it thinks of the tables' sizes. */
const LOOK_UP = {
  name: 'directory-users',
  text: `select asked.n::int, u.* from unnest($1::text[], $2::text[]) with ordinality as asked(domain, username, n),
         lateral (select u.id, u.domain_id, d.name, u.username, u.display_name, u.caller_number, u.ha1, u.enabled
           from domains d join users u on u.domain_id = d.id
           where d.name = asked.domain and u.username = asked.username limit 1) u`,
};

/** The columns of LOOK_UP. */
type Row = [number, string, string, string, string, string, string | null, string, boolean];

function readRow(columns: unknown[]): DirectoryUser {
  const row = columns as Row;
  return {
    id: row[1],
    domainId: row[2],
    domain: row[3],
    username: row[4],
    displayName: row[5],
    callerNumber: row[6] ?? row[4],
    ha1: row[7],
    enabled: row[8],
    mayRegister: true,
  };
}

export function createDirectory(pool: Pool, now: () => number): Directory {
  const away = 'The user can not be looked up: the database is out of reach.';
  const { find, readFresh, forget } = createNameLookup({ pool, now, statement: LOOK_UP, readRow, away });
  return { findUser: find, readFresh, forget };
}
