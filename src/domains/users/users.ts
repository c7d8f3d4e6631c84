/** Users: who may register at any node of the pool. Passwords are kept only as the digest SIP needs, sealed. */
import { z } from 'zod';
import { nameTaken, SwitchyardError } from '../../errors';
import { violatedUnique, type Db } from '../../infra/stores/db';
import { newDialledName } from '../../infra/text/dialled-name';
import { createId } from '../../infra/ids';
import type { Caller } from '../../infra/route';
import { createSecret, hashSipPassword, sealDigest } from '../../infra/secrets';
import { plainText } from '../../infra/text/plain-text';
import { requireDomain } from '../domains/domains';
import type { EventLog } from '../events/events';
import { isGrantName } from '../grants/grant-name';
import { canonicalNumber, refuseNumberAsName, refuseTakenNumber } from './numbers';
import { endRegistrations, endUser, forgetEnd, type UserEndings } from './ended/end-user';
import { explainWeakness } from './password-strength';
import type { Quotas } from '../quotas/quotas';
import * as store from './users.store';

export const username = newDialledName
  .refine((name) => !isGrantName(name), 'must not look like the SIP name of a grant')
  .describe('What the phone registers as, and what callers dial.');
export const password = plainText({ min: 8, max: 128 }).describe(
  'Stored only as a digest. Words, names, dates, sequences and keyboard rows are rejected.',
);
/** One phone of a user, as the pool knows it. */
export const registrationSchema = z
  .object({
    id: z.string(),
    node: z.string(),
    contact: z.string(),
    userAgent: z.string(),
    transport: z.string(),
    networkIp: z.string(),
    registeredAt: z.iso.datetime(),
    unproven: z
      .boolean()
      .describe(
        'Listed by a restarted node, and not heard from since. It rings until a call finds that nobody answers.',
      ),
    expiresAt: z.iso.datetime(),
  })
  .meta({ id: 'Registration' });
export type RegistrationView = z.output<typeof registrationSchema>;

export const userSchema = z
  .object({
    id: z.uuid(),
    domain: z.string(),
    username: z.string(),
    displayName: z.string(),
    callerNumber: z.string().nullable(),
    enabled: z.boolean(),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
    registrations: z.array(registrationSchema).describe('Where its phones are registered.'),
  })
  .meta({ id: 'User' });
export type UserView = z.output<typeof userSchema>;

/** The answer to a user that was made: the one time at which a made password is shown. */
export const newUserSchema = userSchema
  .extend({
    password: z.string().optional().describe('The generated password, if none was given. Shown only this once.'),
  })
  .meta({ id: 'NewUser' });

export interface UsersDeps {
  db: Db;
  events: EventLog;
  /** Seals digests. */
  secretKey: Buffer;
  quotas: Pick<Quotas, 'take'>;
  /** Registrations by user id; users without one may be left out. */
  listRegistrations: (userIds: readonly string[]) => Promise<ReadonlyMap<string, RegistrationView[]>>;
  /** After a user was changed or removed: nodes forget what they keep of it. */
  onUserChanged: (user: { domain: string; username: string }) => void | Promise<void>;
  /** What ends with users, at nodes and replicas. */
  endings: UserEndings;
  /** After a password was changed: what the old one caused is over. */
  onPasswordChanged?: (user: { domainId: string; username: string }) => Promise<void>;
}

export interface NewUser {
  domain?: string;
  username: string;
  /** Made where it is left out. */
  password?: string;
  displayName: string;
  callerNumber: string | null;
  enabled: boolean;
}

export type UserPatch = Partial<Pick<NewUser, 'password' | 'displayName' | 'callerNumber' | 'enabled'>>;

/** A user without what changes by itself; this is what events carry. */
function presentUserAlone(row: store.UserRow, domain: string): Omit<UserView, 'registrations'> {
  return {
    id: row.id,
    domain,
    username: row.username,
    displayName: row.display_name,
    callerNumber: row.caller_number,
    enabled: row.enabled,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
  };
}

/** Users with their registrations, asked for once for all of them. */
export async function presentUsers(deps: UsersDeps, rows: readonly store.NamedUser[]): Promise<Map<string, UserView>> {
  const registrations = rows.length > 0 ? await deps.listRegistrations(rows.map((r) => r.id)) : new Map();
  return new Map(
    rows.map((row) => [
      row.id,
      {
        ...presentUserAlone(row, row.domain_name),
        registrations: (registrations.get(row.id) as RegistrationView[] | undefined) ?? [],
      },
    ]),
  );
}

/** @throws SwitchyardError not_found, also where the user is of a domain the caller can't see */
export async function requireUser(db: Db, caller: Caller, id: string): Promise<store.NamedUser> {
  const row = await store.findUser(db, id, caller.domainId);
  if (!row) throw new SwitchyardError('not_found', 'No such user.');
  return row;
}

/** @throws SwitchyardError invalid_request naming the field */
function refuseWeak(password: string, own: readonly string[], instead: string): void {
  const weakness = explainWeakness(password, own);
  if (weakness === undefined) return;
  throw new SwitchyardError('invalid_request', `The password ${weakness}.`, {
    errors: [{ path: 'password', message: `${weakness}; ${instead}` }],
  });
}

/** As it is kept. */
function digestOf(deps: UsersDeps, login: { username: string; domain: string }, plain: string): string {
  return sealDigest(deps.secretKey, login, hashSipPassword(login.username, login.domain, plain));
}

/** 18 random bytes as text that a person can type into a desk phone. */
const MADE_BYTES = 18;

export async function createUser(
  deps: UsersDeps,
  caller: Caller,
  input: NewUser,
): Promise<UserView & { password?: string }> {
  const made = input.password === undefined ? createSecret(MADE_BYTES) : undefined;
  try {
    return await deps.events.record(async (trx, emit) => {
      const domain = await requireDomain(trx, caller, input.domain);
      if (input.password !== undefined)
        refuseWeak(input.password, [input.username, domain.name, input.displayName], 'leave it out, and one is made');
      await deps.quotas.take(trx, domain.id, { users: 1 });
      await refuseNumberAsName(trx, domain, input.username);
      const number = input.callerNumber === null ? null : canonicalNumber(input.callerNumber, domain.country);
      if (number !== null && number !== input.username) await refuseTakenNumber(trx, domain, number, null);
      const same = await store.findSameName(trx, 'users', domain.id, input.username);
      if (same !== undefined)
        throw new SwitchyardError(
          'conflict',
          `A user named "${same}" already exists: names may not differ by case alone.`,
        );
      const row = await store.insertUser(trx, {
        id: createId(),
        domain_id: domain.id,
        username: input.username,
        display_name: input.displayName,
        caller_number: number,
        dial_number: number,
        ha1: digestOf(deps, { username: input.username, domain: domain.name }, input.password ?? made!),
        enabled: input.enabled,
      });
      const user = presentUserAlone(row, domain.name);
      emit({ stream: domain.id, type: 'user.created', userId: row.id, data: { user } });
      return { ...user, registrations: [], ...(made === undefined ? {} : { password: made }) };
    });
  } catch (error) {
    throw nameConflict(error, input.username);
  }
}

function nameConflict(error: unknown, username: string): unknown {
  const violated = violatedUnique(error);
  if (violated === undefined) return error;
  if (violated === 'users_dial_number_unique')
    return new SwitchyardError('conflict', 'This number has just been assigned to another user.');
  return nameTaken('user', username);
}

/** A number that stays as it was is left as it was: it may be one that several have, from before each led to one user. */
function numberChanges(user: store.NamedUser, text: string | null | undefined): store.UserChanges {
  if (text === undefined) return {};
  const number = text === null ? null : canonicalNumber(text, user.domain_country);
  return number === user.caller_number ? {} : { caller_number: number, dial_number: number };
}

/** A new password is digested again; nodes are told to forget the old one. */
export async function changeUser(deps: UsersDeps, user: store.NamedUser, patch: UserPatch): Promise<store.NamedUser> {
  if (patch.password !== undefined) {
    refuseWeak(
      patch.password,
      [user.username, user.domain_name, patch.displayName ?? user.display_name],
      'choose another',
    );
  }
  const changes: store.UserChanges = {
    ...(patch.displayName !== undefined && { display_name: patch.displayName }),
    ...numberChanges(user, patch.callerNumber),
    ...(patch.enabled !== undefined && { enabled: patch.enabled }),
    ...(patch.password !== undefined && {
      ha1: digestOf(deps, { username: user.username, domain: user.domain_name }, patch.password),
    }),
  };
  if (Object.keys(changes).length === 0) return user;
  const number = changes.dial_number ?? null;
  const changed = await deps.events.record(async (trx, emit) => {
    if (number !== null) {
      await deps.quotas.take(trx, user.domain_id, { users: 0 }); // nobody else is given it meanwhile
      await refuseTakenNumber(trx, { id: user.domain_id, country: user.domain_country }, number, user.id);
    }
    const row = await store.updateUser(trx, user.id, changes);
    if (!row) throw new SwitchyardError('not_found', 'No such user.');
    const shown = presentUserAlone(row, user.domain_name);
    emit({ stream: user.domain_id, type: 'user.updated', userId: user.id, data: { user: shown } });
    if (patch.enabled === true) await forgetEnd(trx, user.id);
    const ends =
      patch.enabled === false
        ? await endUser(trx, emit, user, 'user_disabled')
        : patch.password !== undefined
          ? await endRegistrations(trx, emit, user)
          : undefined;
    return { row: { ...user, ...row }, ends };
  });
  await deps.onUserChanged({ domain: user.domain_name, username: user.username });
  await changed.ends?.(deps.endings);
  if (patch.password !== undefined) {
    await deps.onPasswordChanged?.({ domainId: user.domain_id, username: user.username });
  }
  return changed.row;
}

export async function removeUser(deps: UsersDeps, user: store.NamedUser): Promise<void> {
  const ends = await deps.events.record(async (trx, emit) => {
    const ending = await endUser(trx, emit, user, 'user_deleted');
    if (!(await store.deleteUser(trx, user.id))) throw new SwitchyardError('not_found', 'No such user.');
    const shown = presentUserAlone(user, user.domain_name);
    emit({ stream: user.domain_id, type: 'user.deleted', userId: user.id, data: { user: shown } });
    return ending;
  });
  await deps.onUserChanged({ domain: user.domain_name, username: user.username });
  await ends(deps.endings);
}
