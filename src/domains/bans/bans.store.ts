/** The SQL of bans. */
import type { Queryable } from '../../infra/stores/db';
import type { BanDoor } from './levels';

export type BanKind = 'address' | 'login' | 'pin' | 'room_pin';
export type BanReason = 'wrong_passwords' | 'wrong_pins' | 'unknown_keys' | 'manual';
export type BanEnd = 'expired' | 'lifted' | 'password_changed';

export interface BanRow {
  id: string;
  kind: BanKind;
  /** By which replicas find it; one that is active for each. */
  key: string;
  door: BanDoor;
  address: string | null;
  domain_id: string | null;
  /** As it was asked for, also where there is no such domain. */
  domain: string | null;
  username: string | null;
  room_id: string | null;
  identity: string | null;
  reason: BanReason;
  note: string;
  level: number;
  failures: number;
  /** Users who may go on from a banned address: they got in from there before. */
  spared: string[];
  started_at: Date;
  until: Date;
  ended_at: Date | null;
  end_reason: BanEnd | null;
}

export type NewBan = Omit<BanRow, 'started_at' | 'until' | 'ended_at' | 'end_reason'>;

/** @returns undefined where the key is banned already. Times are Postgres' own: replicas' clocks may differ. */
export async function insertBan(db: Queryable, ban: NewBan, durationMs: number): Promise<BanRow | undefined> {
  const rows = (await db('bans')
    .insert({
      ...ban,
      spared: JSON.stringify(ban.spared),
      until: db.raw(`now() + ? * interval '1 millisecond'`, [durationMs]),
    })
    .onConflict(db.raw('(key) where ended_at is null'))
    .ignore()
    .returning('*')) as BanRow[];
  return rows[0];
}

/** The ban before, and Postgres' time. A ban that is over and not ended yet ended when its time was up. */
export async function findLastBan(
  db: Queryable,
  key: string,
): Promise<{ level: number; ended_at: Date; end_reason: BanEnd | null; now: Date } | undefined> {
  return (await db('bans')
    .where({ key })
    .orderBy('started_at', 'desc')
    .select('level', 'end_reason', db.raw('coalesce(ended_at, until) as ended_at, now() as now'))
    .first()) as { level: number; ended_at: Date; end_reason: BanEnd | null; now: Date } | undefined;
}

export async function findBan(db: Queryable, id: string, domainId: string | null): Promise<BanRow | undefined> {
  const query = db('bans').where({ id });
  if (domainId !== null) void query.where({ domain_id: domainId });
  return (await query.first()) as BanRow | undefined;
}

export async function listBans(
  db: Queryable,
  o: { domainId: string | null; ended: boolean; kind?: BanKind; address?: string; after?: string; limit: number },
): Promise<BanRow[]> {
  const query = db('bans')
    .orderBy('id')
    .limit(o.limit + 1);
  if (o.domainId !== null) void query.where({ domain_id: o.domainId });
  if (o.ended) void query.whereNotNull('ended_at');
  else void query.whereNull('ended_at');
  if (o.kind) void query.where({ kind: o.kind });
  if (o.address) void query.where({ address: o.address });
  if (o.after) void query.where('id', '>', o.after);
  return (await query) as BanRow[];
}

/** Ends what is active: one by its id, or the bans of a login from everywhere. */
export async function endBans(
  db: Queryable,
  which: { id: string } | { kind: 'login'; domain_id: string; username: string },
  reason: BanEnd,
): Promise<BanRow[]> {
  return (await db('bans')
    .where(which)
    .whereNull('ended_at')
    .update({ ended_at: db.fn.now(), end_reason: reason, changed_at: db.fn.now() })
    .returning('*')) as BanRow[];
}

/** Ends those whose time is up, some at once. @param key where only that one may be */
export async function expireBans(db: Queryable, limit: number, key?: string): Promise<BanRow[]> {
  const due = db('bans')
    .whereNull('ended_at')
    .where('until', '<=', db.fn.now())
    .orderBy('until')
    .limit(limit)
    .select('id');
  if (key !== undefined) void due.where({ key });
  return (await db('bans')
    .whereIn('id', due)
    .whereNull('ended_at')
    .update({ ended_at: db.ref('until'), end_reason: 'expired', changed_at: db.fn.now() })
    .returning('*')) as BanRow[];
}

/** Removes bans that count for nothing any more. */
export async function forgetBans(db: Queryable, days: number): Promise<number> {
  return db('bans')
    .where('ended_at', '<', db.raw(`now() - ? * interval '1 day'`, [days]))
    .delete();
}

/** What a replica holds of a ban. */
export interface HeldBan {
  id: string;
  kind: BanKind;
  key: string;
  spared: string[];
  /** From now on by Postgres' clock; 0 where it is over. */
  remaining_ms: number;
}

/** Active bans; with `since` all that changed after it, ended ones too. */
export async function readHeldBans(
  db: Queryable,
  since: Date | undefined,
  limit: number,
): Promise<{ bans: HeldBan[]; now: Date }> {
  const query = db('bans')
    .orderBy('until', 'desc')
    .limit(limit)
    .select(
      'id',
      'kind',
      'key',
      'spared',
      db.raw(
        `case when ended_at is null then greatest(0, extract(epoch from until - now()) * 1000)::float8 else 0 end as remaining_ms`,
      ),
    );
  if (since) void query.where('changed_at', '>', since);
  else void query.whereNull('ended_at');
  const clock = (await db.select(db.raw('now() as now')).first()) as { now: Date };
  return { bans: (await query) as HeldBan[], now: clock.now };
}

/** The domain of a name, for a ban that belongs to it. */
export async function findDomainId(db: Queryable, name: string): Promise<string | undefined> {
  const row = (await db('domains').where({ name }).first('id')) as { id: string } | undefined;
  return row?.id;
}

/** Whether a caller was ever let into the room. */
export async function hasEntered(db: Queryable, roomId: string, identity: string): Promise<boolean> {
  return (await db('participants').where({ room_id: roomId, identity }).first('id')) !== undefined;
}

/** Whether a phone of the login (a user's id, or a grant's) is registered from exactly there: it proved itself before. */
export async function isRegisteredFrom(db: Queryable, loginId: string, ip: string, port: number): Promise<boolean> {
  const found = (await db('registrations')
    .whereRaw('user_id = coalesce((select user_id from grants where id = ?), ?)', [loginId, loginId])
    .where({ network_ip: ip, network_port: port })
    .where('expires_at', '>', db.fn.now())
    .first('id')) as { id: string } | undefined;
  return found !== undefined;
}
