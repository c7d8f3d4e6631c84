/** Finds whom a program is run as where we are root: what strangers talk to must not be able to do what root can. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { StartFault } from '../project';

export interface User {
  name: string;
  uid: number;
  gid: number;
}

/** Users of the machine, in the form of /etc/passwd. */
export function parseUsers(passwd: string): User[] {
  return passwd.split('\n').flatMap((line) => {
    const [name, , uid, gid] = line.split(':');
    return name && /^\d+$/.test(uid ?? '') && /^\d+$/.test(gid ?? '')
      ? [{ name, uid: Number(uid), gid: Number(gid) }]
      : [];
  });
}

const readUsers = (): User[] => parseUsers(readFileSync('/etc/passwd', 'utf8'));
const firstOf = (users: User[], names: readonly string[]): User | undefined =>
  names.map((name) => users.find((user) => user.name === name)).find((user) => user !== undefined);

/** Whom Postgres is run as: the machine's own user for it, else nobody. */
export const choosePostgresUser = (users: User[]): User | undefined => firstOf(users, ['postgres', 'nobody']);

/**
 * Whom a media node is run as: never the one that Postgres is, whose files a node that was broken into could then read.
 * @param wanted FREESWITCH_USER @throws StartFault where there is nobody of that name, or nobody at all
 */
export function chooseNodeUser(users: User[], wanted: string | undefined): User {
  if (wanted !== undefined) {
    const named = firstOf(users, [wanted]);
    if (!named) throw new StartFault(`FREESWITCH_USER names ${wanted}, and there is no such user.`);
    return named;
  }
  const postgres = choosePostgresUser(users)?.name;
  const found = firstOf(
    users,
    ['freeswitch', 'nobody', 'daemon'].filter((name) => name !== postgres),
  );
  if (!found) throw new StartFault('There is no ordinary user to run FreeSWITCH as: name one with FREESWITCH_USER.');
  return found;
}

const isRoot = (): boolean => process.getuid?.() === 0;

/** Undefined where we are not root: it then runs as we do. @throws StartFault */
export function postgresUser(): User | undefined {
  if (!isRoot()) return undefined;
  const user = choosePostgresUser(readUsers());
  if (user) return user;
  throw new StartFault('Postgres refuses to run as root, and there is no user "postgres" or "nobody" to run it as.');
}

/** Undefined where we are not root, or where FREESWITCH_USER says that root is meant. @throws StartFault */
export function nodeUser(env: Record<string, string | undefined> = process.env): User | undefined {
  if (!isRoot() || env.FREESWITCH_USER === 'root') return undefined;
  return chooseNodeUser(readUsers(), env.FREESWITCH_USER || undefined);
}

/** The first folder of the path that `user` may not enter; undefined where all are open to them. */
export function findClosedFolder(path: string, user: User): string | undefined {
  let closed: string | undefined;
  for (let folder = resolve(path); ; folder = dirname(folder)) {
    if (existsSync(folder)) {
      const { mode, uid, gid } = statSync(folder);
      const bit = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001;
      if (!(mode & bit)) closed = folder;
    }
    if (folder === dirname(folder)) return closed;
  }
}

export const isReachable = (path: string, user: User): boolean => findClosedFolder(path, user) === undefined;

/** Where something is kept instead whose user can't get to the folder that was wanted. */
export function fallbackDir(wanted: string, name: string): string {
  const id = createHash('sha256').update(wanted).digest('hex').slice(0, 12);
  return join('/var/lib/switchyard', id, name);
}
