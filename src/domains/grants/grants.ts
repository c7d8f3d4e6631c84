/** Grants: what a browser is given to register or to enter a room, for a while, and nothing more. */
import type { z } from 'zod';
import { SwitchyardError } from '../../errors';
import { createId } from '../../infra/ids';
import type { Caller } from '../../infra/route';
import { createSecret, hashSecret, hashSipPassword, sealDigest } from '../../infra/secrets';
import { storeClock } from '../../infra/store-clock';
import type { EventLog } from '../events/events';
import { readEventHead, type EventDraft } from '../events/events.store';
import type { Quotas } from '../quotas/quotas';
import { type RoomRow } from '../rooms/rooms.store';
import { findUser, listUsers, type NamedUser } from '../users/users.store';
import { createGrantName } from './grant-name';
import * as store from './grants.store';
import { locateGrant, type LocationDeps } from './node-assignment';
import type { newGrantSchema, RoomGrantInput, selfSchema, UserGrantInput } from './grants.schemas';
import { requireRoom } from '../rooms/require-room';

export interface GrantDeps extends LocationDeps {
  log: EventLog;
  /** Seals digests. */
  secretKey: Buffer;
  quotas: Pick<Quotas, 'spend' | 'check' | 'take'>;
  /** Put before the paths in answers; they are relative where it is left out. */
  publicUrl: string | undefined;
}

/** What every event of a grant carries; never its digest, its token or its TURN credentials. */
export function draftGrantEvent(
  type: 'grant.created' | 'grant.used' | 'grant.updated' | 'grant.revoked',
  grant: Pick<store.GrantRow, 'id' | 'domain_id' | 'room_id' | 'user_id' | 'identity' | 'name' | 'role' | 'expires_at'>,
  data: Record<string, unknown> = {},
): EventDraft {
  const { identity, name, role } = grant;
  return {
    stream: grant.domain_id,
    type,
    roomId: grant.room_id,
    userId: grant.user_id,
    data: { grantId: grant.id, identity, name, role, expiresAt: grant.expires_at.toISOString(), ...data },
  };
}

/** @throws not_found, also where the caller may not know of the user; unprocessable for one who is disabled */
export async function requireUserOf(deps: Pick<GrantDeps, 'db'>, caller: Caller, userId: string): Promise<NamedUser> {
  const user = await findUser(deps.db, userId, caller.domainId);
  if (!user) throw new SwitchyardError('not_found', 'No such user.');
  return user;
}

function mustBeEnabled(user: NamedUser): NamedUser {
  if (!user.enabled) throw new SwitchyardError('unprocessable', `The user "${user.username}" is disabled.`);
  return user;
}

/** The user a guest's grant names, in the room's own domain. */
async function findNamedUser(
  deps: GrantDeps,
  room: RoomRow,
  input: Pick<RoomGrantInput, 'userId' | 'username'>,
): Promise<NamedUser | undefined> {
  if (input.userId === undefined && input.username === undefined) return undefined;
  const user =
    input.userId !== undefined
      ? await findUser(deps.db, input.userId, room.domain_id)
      : (await listUsers(deps.db, { domainId: room.domain_id, username: input.username, limit: 1 }))[0];
  if (!user || (input.username !== undefined && user.username !== input.username)) {
    throw new SwitchyardError('unprocessable', 'The domain of the room has no such user.');
  }
  return mustBeEnabled(user);
}

export interface MadeGrant {
  view: z.output<typeof newGrantSchema>;
  row: store.NewGrant;
}

/** The right to enter one room. The session is opened, and its node chosen, before the browser signals. */
export async function createRoomGrant(
  deps: GrantDeps,
  caller: Caller,
  roomId: string,
  input: RoomGrantInput,
): Promise<MadeGrant> {
  const room = await requireRoom(deps.db, caller, roomId);
  const user = await findNamedUser(deps, room, input);
  const id = createId();
  if (user && input.identity !== undefined) {
    throw new SwitchyardError('invalid_request', 'A user already has an identity.', {
      errors: [{ path: 'identity', message: "can't be combined with userId or username" }],
    });
  }
  const identity = user ? `user:${user.username}` : (input.identity ?? `grant:${id}`);
  const name = input.name ?? (user ? user.display_name || user.username : (input.identity ?? ''));
  return makeGrant(
    deps,
    room,
    { id, kind: 'room', room_id: room.id, user_id: user?.id ?? null, identity, name },
    input,
  );
}

/** A phone's login as a user, without the user's own password. */
export async function createUserGrant(
  deps: GrantDeps,
  caller: Caller,
  userId: string,
  input: UserGrantInput,
): Promise<MadeGrant> {
  const user = mustBeEnabled(await requireUserOf(deps, caller, userId));
  const identity = `user:${user.username}`;
  const name = input.name ?? (user.display_name || user.username);
  const who = { id: createId(), kind: 'user' as const, room_id: null, user_id: user.id, identity, name };
  return makeGrant(deps, user, who, { ...input, role: 'participant' });
}

async function makeGrant(
  deps: GrantDeps,
  owner: { domain_id: string; domain_name: string },
  who: Pick<store.NewGrant, 'id' | 'kind' | 'room_id' | 'user_id' | 'identity' | 'name'>,
  input: UserGrantInput & { role: store.GrantRole },
): Promise<MadeGrant> {
  const { domain_id, domain_name: realm } = owner;
  await deps.quotas.spend(domain_id, 'grantsPerMinute');
  await deps.quotas.check(domain_id, { liveGrants: 1 });
  const expires_at = new Date(storeClock.nowMs() + input.expiresInSeconds * 1000);
  const at = await locateGrant(deps, { ...who, node_id: null, expires_at, domain_name: realm });
  const username = createGrantName();
  // The password is made, digested and dropped: nobody keeps it.
  const ha1 = hashSipPassword(username, realm, createSecret());
  const token = `gt_${createSecret()}`;
  const row: store.NewGrant = {
    ...who,
    domain_id,
    username,
    ha1: sealDigest(deps.secretKey, { username, domain: realm }, ha1),
    token_hash: hashSecret(token),
    role: input.role,
    max_video_kbps: input.maxVideoKbps ?? null,
    metadata: input.metadata,
    node_id: at.node.id,
    after_number: '0',
    expires_at,
  };
  const after = await deps.log.record(async (trx, emit) => {
    const { last } = await readEventHead(trx, domain_id);
    await deps.quotas.take(trx, domain_id, { liveGrants: 1 });
    await store.insertGrant(trx, { ...row, after_number: String(last) });
    emit(draftGrantEvent('grant.created', row, { node: at.node.name }));
    return last;
  });
  const view = {
    id: row.id,
    ...at.location,
    sipUri: `sip:${username}@${realm}`,
    username,
    ha1,
    realm,
    identity: row.identity,
    role: row.role,
    maxVideoKbps: row.max_video_kbps,
    expiresAt: expires_at.toISOString(),
    token,
    eventsUrl: `${deps.publicUrl?.replace(/\/$/, '') ?? ''}/v1/events?since=${after}`,
  };
  return { view, row };
}

/** Where the holder of a token has to go now. After the death of a node this is another one. */
export async function locateSelf(deps: GrantDeps, grantId: string): Promise<z.output<typeof selfSchema>> {
  const grant = await store.findGrant(deps.db, grantId, null);
  if (!grant) throw new SwitchyardError('gone', 'The grant was revoked or has expired.');
  const { node, location } = await locateGrant(deps, grant);
  if (node.id !== grant.node_id) await store.moveGrant(deps.db, grant.id, node.id);
  return {
    id: grant.id,
    kind: grant.kind,
    roomId: grant.room_id,
    userId: grant.user_id,
    ...location,
    sipUri: `sip:${grant.username}@${grant.domain_name}`,
    realm: grant.domain_name,
    identity: grant.identity,
    name: grant.name,
    role: grant.role,
    maxVideoKbps: grant.max_video_kbps,
    expiresAt: grant.expires_at.toISOString(),
  };
}
