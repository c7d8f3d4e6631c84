/** The SQL of users. */
import type { Queryable } from '../../infra/stores/db';

export interface UserRow {
  id: string;
  domain_id: string;
  username: string;
  display_name: string;
  /** Shown to who is called. */
  caller_number: string | null;
  /** The number that leads to this user and to nobody else of the domain; null where the shown one is not theirs alone. */
  dial_number: string | null;
  /** Sealed; sealDigest() makes it. */
  ha1: string;
  enabled: boolean;
  created_at: Date;
  updated_at: Date;
}

/** A user with its domain's name. */
export interface NamedUser extends UserRow {
  domain_name: string;
  domain_country: string | null;
}

export type UserChanges = Partial<Pick<UserRow, 'display_name' | 'caller_number' | 'dial_number' | 'ha1' | 'enabled'>>;

export async function insertUser(db: Queryable, row: Omit<UserRow, 'created_at' | 'updated_at'>): Promise<UserRow> {
  const rows = (await db('users').insert(row).returning('*')) as UserRow[];
  return rows[0]!;
}

/** @param domainId where only users of one domain may be seen */
export async function findUser(db: Queryable, id: string, domainId: string | null): Promise<NamedUser | undefined> {
  const query = withDomain(db).where('u.id', id);
  if (domainId !== null) void query.where('u.domain_id', domainId);
  return (await query.first()) as NamedUser | undefined;
}

/** In whatever capitals, where nobody's name is written so. */
const SPELT = `lower(u.username) = lower(:username) and (u.username = :username or not exists
  (select 1 from users e where e.domain_id = u.domain_id and e.username = :username))`;

/** A user or room whose name differs in capitals alone, or not at all: whoever dials could mean either. */
export async function findSameName(
  db: Queryable,
  table: 'users' | 'rooms',
  domainId: string,
  name: string,
): Promise<string | undefined> {
  const column = table === 'users' ? 'username' : 'name';
  const row = (await db(table)
    .where({ domain_id: domainId })
    .whereRaw('lower(??) = lower(?)', [column, name])
    .first(`${column} as name`)) as { name: string } | undefined;
  return row?.name;
}

export async function listUsers(
  db: Queryable,
  o: { domainId?: string; username?: string; after?: string; limit: number },
): Promise<NamedUser[]> {
  const query = withDomain(db)
    .orderBy('u.id')
    .limit(o.limit + 1);
  if (o.domainId) void query.where('u.domain_id', o.domainId);
  if (o.username) void query.whereRaw(SPELT, { username: o.username });
  if (o.after) void query.where('u.id', '>', o.after);
  return (await query) as NamedUser[];
}

export async function updateUser(db: Queryable, id: string, changes: UserChanges): Promise<UserRow | undefined> {
  const rows = (await db('users')
    .where({ id })
    .update({ ...changes, updated_at: db.fn.now() })
    .returning('*')) as UserRow[];
  return rows[0];
}

export async function deleteUser(db: Queryable, id: string): Promise<boolean> {
  return (await db('users').where({ id }).delete()) > 0;
}

function withDomain(db: Queryable) {
  return db('users as u')
    .join('domains as d', 'd.id', 'u.domain_id')
    .select('u.*', 'd.name as domain_name', 'd.country as domain_country');
}

/** What is dialled by these digits beside this user's own name: another user's name or number, or a room's. */
export async function findOtherDialled(
  db: Queryable,
  domainId: string,
  digits: string,
  exceptUserId: string | null,
): Promise<string | undefined> {
  const others = db('users').where({ domain_id: domainId });
  if (exceptUserId !== null) void others.whereNot({ id: exceptUserId });
  const user = (await others
    .where((either) => void either.where({ username: digits }).orWhere({ dial_number: digits }))
    .first('username')) as { username: string } | undefined;
  if (user) return `the user "${user.username}"`;
  const room = (await db('rooms').where({ domain_id: domainId, name: digits }).first('name')) as
    { name: string } | undefined;
  return room && `the room "${room.name}"`;
}

/** The user to whom these digits lead as a number. */
export async function findNumberHolder(db: Queryable, domainId: string, digits: string): Promise<string | undefined> {
  const row = (await db('users').where({ domain_id: domainId, dial_number: digits }).first('username')) as
    { username: string } | undefined;
  return row?.username;
}

/** Users and rooms whose names are made of digits, and end in these. */
export async function listNumericNames(
  db: Queryable,
  domainId: string,
  tail: string,
  exceptUserId: string | null,
): Promise<{ kind: 'user' | 'room'; name: string }[]> {
  const isNumeric = `?? ~ '^[0-9._-]+$' and right(regexp_replace(??, '[^0-9]', '', 'g'), length(?)) = ?`;
  const users = db('users').where({ domain_id: domainId });
  if (exceptUserId !== null) void users.whereNot({ id: exceptUserId });
  const named = await users.whereRaw(isNumeric, ['username', 'username', tail, tail]).select('username as name');
  const rooms = db('rooms').where({ domain_id: domainId }).whereRaw(isNumeric, ['name', 'name', tail, tail]);
  return [
    ...(named as { name: string }[]).map(({ name }) => ({ kind: 'user' as const, name })),
    ...((await rooms.select('name')) as { name: string }[]).map(({ name }) => ({ kind: 'room' as const, name })),
  ];
}
