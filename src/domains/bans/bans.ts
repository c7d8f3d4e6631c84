/** Begins, ends and shows bans: a row, an event and every replica's memory of it go together. */
import { z } from 'zod';
import { SwitchyardError } from '../../errors';
import type { Db, Trx } from '../../infra/stores/db';
import { isUnreachable } from '../../infra/stores/db';
import { createId } from '../../infra/ids';
import type { Logger } from '../../infra/logger';
import type { EventLog } from '../events/events';
import { POOL_STREAM, type EventDraft } from '../events/events.store';
import * as store from './bans.store';
import { durationMs, nextLevel, type BanDoor } from './levels';
import type { Refusals } from './refusals';

export const banSchema = z
  .object({
    id: z.uuid(),
    kind: z
      .enum(['address', 'login', 'pin', 'room_pin'])
      .describe(
        '`address`: nobody new can log in from there. `login`: one user from one address. `pin`: one caller at the PIN of ' +
          'one room. `room_pin`: the room accepts no PIN from callers it does not know.',
      ),
    door: z.enum(['sip', 'api', 'room']),
    address: z.string().nullable().describe('An IPv4 address, or an IPv6 /64.'),
    domain: z.string().nullable(),
    username: z.string().nullable(),
    roomId: z.string().nullable(),
    identity: z.string().nullable(),
    reason: z.enum(['wrong_passwords', 'wrong_pins', 'unknown_keys', 'manual']),
    note: z.string(),
    level: z
      .number()
      .int()
      .describe('1 to 5: each level lasts longer than the one before; a day without a ban takes one level off.'),
    failures: z.number().int().describe('Failures counted when the ban began.'),
    spared: z
      .array(z.string())
      .describe('Users who can still log in from a banned address, since they logged in from there before.'),
    startedAt: z.iso.datetime(),
    until: z.iso.datetime(),
    endedAt: z.iso.datetime().nullable(),
    endReason: z.enum(['expired', 'lifted', 'password_changed']).nullable(),
  })
  .meta({ id: 'Ban' });

export interface BansDeps {
  db: Db;
  log: EventLog;
  logger: Logger;
  refusals: Refusals;
  /** Whether an address must never be banned, by what Postgres knows now: a node may have joined a moment ago. */
  readNever: (address: string) => Promise<boolean>;
}

/** What is banned, and why. */
export interface BanTarget {
  kind: store.BanKind;
  key: string;
  door: BanDoor;
  reason: store.BanReason;
  failures: number;
  address?: string;
  /** A domain's name; the ban is shown to it where there is such a domain. */
  domain?: string;
  domainId?: string;
  username?: string;
  roomId?: string;
  identity?: string;
  note?: string;
  spared?: readonly string[];
  /** Instead of what its level says. */
  forMs?: number;
}

/** Held without a row while Postgres is away. */
const UNWRITTEN_MS = 60_000;
/** More users of one address than this are not spared: the newest are. */
const MOST_SPARED = 500;
const EXPIRE_AT_ONCE = 200;
/** A level is gone after five days at most; a ban is shown for longer. */
const KEPT_DAYS = 90;

export function presentBan(row: store.BanRow): z.output<typeof banSchema> {
  return {
    id: row.id,
    kind: row.kind,
    door: row.door,
    address: row.address,
    domain: row.domain,
    username: row.username,
    roomId: row.room_id,
    identity: row.identity,
    reason: row.reason,
    note: row.note,
    level: row.level,
    failures: row.failures,
    spared: row.spared,
    startedAt: row.started_at.toISOString(),
    until: row.until.toISOString(),
    endedAt: row.ended_at?.toISOString() ?? null,
    endReason: row.end_reason,
  };
}

/** A ban of an address is the pool's matter; others are of a domain, where there is one. */
function draftBanEvent(type: 'ban.started' | 'ban.ended', row: store.BanRow): EventDraft {
  // Whose phones an address has is nobody's business in the log.
  const { spared: _spared, ...ban } = presentBan(row);
  return { stream: row.domain_id ?? POOL_STREAM, type, roomId: row.room_id, data: { ban } };
}

async function insert(trx: Trx, target: BanTarget, level: number, forMs: number): Promise<store.BanRow | undefined> {
  const domainId =
    target.domainId ?? (target.domain === undefined ? undefined : await store.findDomainId(trx, target.domain));
  return store.insertBan(
    trx,
    {
      id: createId(),
      kind: target.kind,
      key: target.key,
      door: target.door,
      address: target.address ?? null,
      domain_id: domainId ?? null,
      domain: target.domain ?? null,
      username: target.username ?? null,
      room_id: target.roomId ?? null,
      identity: target.identity ?? null,
      reason: target.reason,
      note: target.note ?? '',
      level,
      failures: target.failures,
      spared: (target.spared ?? []).slice(0, MOST_SPARED),
    },
    forMs,
  );
}

/**
 * Bans, for as long as the bans before it say. Where it is banned already, nothing changes; nor for an address that is
 * never banned.
 * @returns the ban that began; undefined where none did, or where Postgres is away (then it holds for a minute)
 */
export async function startBan(deps: BansDeps, target: BanTarget): Promise<store.BanRow | undefined> {
  if (target.kind === 'address' && target.address && (await deps.readNever(target.address))) return undefined;
  const spared = (target.spared ?? []).slice(0, MOST_SPARED);
  try {
    const row = await deps.log.record(async (trx, emit) => {
      for (const over of await store.expireBans(trx, 1, target.key)) emit(draftBanEvent('ban.ended', over));
      const last = await store.findLastBan(trx, target.key);
      const level = nextLevel(
        last && {
          level: last.level,
          endedAtMs: last.ended_at.getTime(),
          isForgiven: last.end_reason !== null && last.end_reason !== 'expired',
        },
        last?.now.getTime() ?? 0,
      );
      const begun = await insert(trx, target, level, target.forMs ?? durationMs(target.door, level));
      if (begun) emit(draftBanEvent('ban.started', begun));
      return begun;
    });
    if (!row) return undefined;
    const { id, key, kind, door, address, domain, username, level, until } = row;
    deps.refusals.start({ id, kind, key, spared }, until.getTime() - row.started_at.getTime());
    deps.logger.warn({ kind, door, address, domain, username, level, until }, 'a ban began');
    return row;
  } catch (error) {
    if (!isUnreachable(error)) throw error;
    deps.refusals.start({ kind: target.kind, key: target.key, spared }, UNWRITTEN_MS);
    deps.logger.warn(
      { kind: target.kind, address: target.address },
      'a ban holds for a minute: it could not be written',
    );
    return undefined;
  }
}

/** Lifts at once, in every replica; its level counts for nothing. @throws not_found */
export async function liftBan(deps: BansDeps, id: string, domainId: string | null): Promise<store.BanRow> {
  const row = await deps.log.record(async (trx, emit) => {
    if (!(await store.findBan(trx, id, domainId))) throw new SwitchyardError('not_found', 'No such ban.');
    const [ended] = await store.endBans(trx, { id }, 'lifted');
    if (ended) emit(draftBanEvent('ban.ended', ended));
    return ended;
  });
  if (!row) throw new SwitchyardError('conflict', 'The ban has already ended.');
  deps.refusals.end(row.key);
  return row;
}

/** A new password makes an end of what the old one caused. */
export async function forgiveLogin(deps: BansDeps, domainId: string, username: string): Promise<void> {
  const rows = await deps.log.record(async (trx, emit) => {
    const ended = await store.endBans(trx, { kind: 'login', domain_id: domainId, username }, 'password_changed');
    ended.forEach((row) => emit(draftBanEvent('ban.ended', row)));
    return ended;
  });
  rows.forEach((row) => deps.refusals.end(row.key));
}

/** Says of those whose time is up that they are over. Replicas stopped refusing by themselves. */
export async function endExpiredBans(deps: Pick<BansDeps, 'log'>): Promise<number> {
  return deps.log.record(async (trx, emit) => {
    const ended = await store.expireBans(trx, EXPIRE_AT_ONCE);
    ended.forEach((row) => emit(draftBanEvent('ban.ended', row)));
    return ended.length;
  });
}

export const forgetOldBans = (db: Db): Promise<number> => store.forgetBans(db, KEPT_DAYS);
