/** Answers what a grant's SIP name may do, as fast and as long as the directory of users does, never past its end. */
import type { Pool } from 'pg';
import { createReadThroughCache } from '../../infra/flow/read-through-cache';
import { readDigest, type Directory, type DirectoryUser } from '../users/directory';
import { isGrantName } from './grant-name';
import { GRANT_LOOKUP, type GrantLookupRow } from './grant-directory.store';
import type { GrantKind, GrantRole } from './grants.store';

/** What is to be known of a grant to let its holder in, and no further. */
export interface GrantView {
  id: string;
  kind: GrantKind;
  domainId: string;
  domain: string;
  roomId: string | null;
  userId: string | null;
  /** The user's own name, where the grant is for a user. */
  username: string | null;
  /** `user:NAME`, or what whoever made the grant called them, or `grant:ID`. */
  identity: string;
  name: string;
  role: GrantRole;
  maxVideoKbps: number | null;
  /** Where it has expired and its holder may come back: until when. */
  expiresAt: Date;
  /** Always null: a revoked grant is not found. */
  revokedAt: Date | null;
}

export interface GrantDirectory extends Pick<Directory, 'findUser' | 'readFresh'> {
  /** @throws unavailable where it can't be known */
  findGrant(sipName: string, domain: string): Promise<GrantView | undefined>;
  /** After an extension: other replicas ask again within a second. */
  forget(sipName: string, domain: string): void;
  /** After a revocation, in every replica: what is remembered of it is answered no more. */
  drop(grantId: string): void;
}

interface Login {
  grant: GrantView;
  /** As a node asks for it: the SIP name and its digest. */
  user: DirectoryUser;
  expiresMs: number;
}

function readRow(secretKey: Buffer, columns: unknown[], before: Login | undefined): Login {
  const [, id, kind, domainId, domain, roomId, userId, username, identity, name, role, maxVideoKbps, ...rest] =
    columns as GrantLookupRow;
  const [expiresAt, sipName, callerNumber, sealedHa1] = rest;
  const grant = { id, kind, domainId, domain, roomId, userId, username, identity, name, role, maxVideoKbps, expiresAt };
  const login = { domain, username: sipName, sealedHa1 };
  return {
    grant: { ...grant, revokedAt: null },
    user: {
      id,
      userId,
      domainId,
      ...login,
      displayName: name,
      callerNumber: callerNumber ?? username ?? '',
      ha1: readDigest(secretKey, login, before?.user),
      enabled: true,
      mayRegister: kind === 'user',
    },
    expiresMs: expiresAt.getTime(),
  };
}

export function createGrantDirectory(pool: Pool, now: () => number, secretKey: Buffer): GrantDirectory {
  const lookup = createReadThroughCache<Login>({
    pool,
    now,
    statement: GRANT_LOOKUP,
    readRow: (row, before) => readRow(secretKey, row, before),
    isOver: (login, nowMs) => login.expiresMs <= nowMs,
    away: 'The grant can not be looked up: the database is out of reach.',
  });
  const find = async (sipName: string, domain: string): Promise<Login | undefined> => {
    const login = await lookup.find(sipName, domain);
    return login && login.expiresMs > now() ? login : undefined;
  };
  return {
    findUser: async (sipName, domain) => (await find(sipName, domain))?.user,
    readFresh(sipName, domain) {
      const login = lookup.readFresh(sipName, domain);
      return login ? login.user : (login as null | undefined);
    },
    findGrant: async (sipName, domain) => (await find(sipName, domain))?.grant,
    forget: lookup.forget,
    drop: (grantId) => lookup.drop((login) => login.grant.id === grantId),
  };
}

/** Whose passwords a node may ask for: users', and grants' by the shape of their names. */
export function createLogins(
  users: Pick<Directory, 'findUser' | 'readFresh'>,
  grants: Pick<Directory, 'findUser' | 'readFresh'>,
): Pick<Directory, 'findUser' | 'readFresh'> {
  const of = (name: string): Pick<Directory, 'findUser' | 'readFresh'> => (isGrantName(name) ? grants : users);
  return {
    findUser: (name, domain) => of(name).findUser(name, domain),
    readFresh: (name, domain) => of(name).readFresh(name, domain),
  };
}
