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
  /** Forgets what is kept of the user, after a change. */
  forget(username: string, domain: string): void;
}

/** What is this old is answered without asking again: it bounds how long a revoked user may still come in. */
const FRESH_MS = 1000;
/** Users remembered for the time in which Postgres is away. */
const REMEMBERED = 100_000;

const LOOK_UP = {
  name: 'directory-user',
  text: `select u.id, u.domain_id, d.name as domain, u.username, u.display_name, u.caller_number, u.ha1, u.enabled
         from users u join domains d on d.id = u.domain_id where d.name = $1 and u.username = $2`,
};

interface Row {
  id: string;
  domain_id: string;
  domain: string;
  username: string;
  display_name: string;
  caller_number: string | null;
  ha1: string;
  enabled: boolean;
}

interface Entry {
  user: DirectoryUser | undefined;
  atMs: number;
  pending?: Promise<DirectoryUser | undefined>;
}

export function createDirectory(pool: Pool, now: () => number): Directory {
  const entries = new Map<string, Entry>();

  async function ask(key: string, username: string, domain: string): Promise<DirectoryUser | undefined> {
    const { rows } = await pool.query<Row>({ ...LOOK_UP, values: [domain, username] });
    const row = rows[0];
    const user = row && {
      id: row.id,
      domainId: row.domain_id,
      domain: row.domain,
      username: row.username,
      displayName: row.display_name,
      callerNumber: row.caller_number ?? row.username,
      ha1: row.ha1,
      enabled: row.enabled,
    };
    entries.delete(key); // a Map keeps its order: the longest unasked stand first
    entries.set(key, { user, atMs: now() });
    if (entries.size > REMEMBERED) entries.delete(entries.keys().next().value!);
    return user;
  }

  return {
    async findUser(username, domain) {
      const name = domain.toLowerCase();
      const key = `${username}\n${name}`;
      const known = entries.get(key);
      if (known && now() - known.atMs < FRESH_MS) return known.user;
      if (known?.pending) return known.pending;
      const pending = ask(key, username, name);
      if (known) known.pending = pending;
      try {
        return await pending;
      } catch (error) {
        if (!isUnreachable(error)) throw error;
        if (known?.user) return known.user;
        throw new SwitchyardError('unavailable', 'The user can not be looked up: the database is out of reach.', {
          cause: error,
        });
      } finally {
        if (known) delete known.pending;
      }
    },
    forget(username, domain) {
      const entry = entries.get(`${username}\n${domain.toLowerCase()}`);
      if (entry) entry.atMs = 0;
    },
  };
}
