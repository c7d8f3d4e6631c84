/** Puts the parts of grants together for main.ts: logins for nodes, tokens for pages, routes, and their end. */
import type { Pool } from 'pg';
import type { Caller, Route } from '../../infra/route';
import { runEvery } from '../../infra/flow/interval';
import { storeClock } from '../../infra/store-clock';
import type { Directory } from '../users/directory';
import { createGrantDirectory, createLogins } from './grant-directory';
import type { GrantDeps } from './grants';
import { grantRoutes } from './grants.routes';
import { authenticateGrants, createGrantFinder, type FindGrantOfUser } from './authentication';
import { createPhonePick, type PhonePickDeps } from './node-assignment';
import { GRANT_SWEEP_MS, reconcileGrants, sweepGrants, type OverDeps } from './end-grants';
import { type Domain } from '../domain';

export interface GrantsOptions
  extends Omit<GrantDeps, 'pickForPhone'>, Omit<OverDeps, 'onRevoked'>, Omit<PhonePickDeps, 'db'> {
  commandTimeoutMs: number;
  /** createLookupPool(): the directory's own connections. */
  lookups: Pool;
  /** createKeyRing(): grants' ids are told beside keys' when they are revoked. */
  keyRing: {
    authenticate(bearer: string): Promise<Caller | undefined>;
    revoked(ids: readonly string[]): Promise<void>;
    onRevoked(listener: (id: string) => void): () => void;
  };
}

export interface Grants extends Domain {
  routes: Route[];
  /** In the place of keyRing.authenticate, for the app, the events' entrance and the sockets. */
  authenticate: (bearer: string) => Promise<Caller | undefined>;
  /** For the nodes' entrance: whose passwords are checked. */
  loginsBeside(users: Pick<Directory, 'findUser' | 'readFresh'>): Pick<Directory, 'findUser' | 'readFresh'>;
  /** For the dialplan. */
  findGrantOfUser: FindGrantOfUser;
}

export function createGrants(o: GrantsOptions): Grants {
  const { db, logger, lookups, keyRing } = o;
  const directory = createGrantDirectory(lookups, storeClock.nowMs, o.secretKey);
  const deps: GrantDeps & OverDeps = { ...o, pickForPhone: createPhonePick(o), onRevoked: keyRing.revoked };
  const unhear = keyRing.onRevoked(directory.drop);
  const sweep = runEvery('grants sweep', GRANT_SWEEP_MS, logger, () => sweepGrants(deps, storeClock.now()));
  return {
    routes: grantRoutes({ ...deps, onExtended: (grant) => directory.forget(grant.username, grant.domain_name) }),
    authenticate: authenticateGrants(db, keyRing.authenticate, storeClock.nowMs),
    loginsBeside: (users) => createLogins(users, directory),
    findGrantOfUser: createGrantFinder({ ...o, grants: directory }),
    handlers: {
      onSnapshot: (_node, connection) => reconcileGrants(o, connection, o.commandTimeoutMs, storeClock.now()),
    },
    async stop() {
      unhear();
      await sweep.stop();
    },
  };
}
