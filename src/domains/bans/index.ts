/** Puts together what stands against guessing: counting, refusing, telling, and the REST of bans. */
import { randomUUID } from 'node:crypto';
import { Gauge, type Registry } from 'prom-client';
import { isUnreachable, type Db } from '../../infra/stores/db';
import type { Logger } from '../../infra/logger';
import type { FailureKind } from '../../infra/metrics';
import type { Redis } from '../../infra/stores/redis';
import type { Route } from '../../infra/route';
import type { EventLog } from '../events/events';
import { listNetworks } from '../../address';
import { countedSingles, isListed } from './addresses';
import { listHosts } from '../nodes/nodes.store';
import { endExpiredBans, forgetOldBans, forgiveLogin, type BansDeps } from './bans';
import { bansRoutes } from './bans.routes';
import { createFailureEvents } from './failure-events';
import { createLoginGuard, type LoginGuard } from './logins';
import { createPinGuard, type PinGuard } from './pins';
import { createRefusals } from './refusals';
import { createStrangerGuard, type StrangerGuard } from './strangers';
import { createTally } from './tally';
import { type Domain, type Sweep } from '../domain';

export interface BansOptions {
  db: Db;
  log: EventLog;
  logger: Logger;
  redis: Redis;
  subscriber: Redis;
  prefix: string;
  /** Milliseconds from any moment on: only how much time passes matters, and no wrong clock. */
  now: () => number;
  registry: Registry;
  countFailure: (kind: FailureKind) => void;
  countRefusal: (why: 'banned' | 'slowed') => void;
  /** Never banned: proxies, where replicas are, and what a setting names. */
  neverNetworks: readonly string[];
  /** The same, asked for again and again: addresses of trunks. */
  listNever?: () => Promise<readonly string[]>;
}

export interface Bans extends Domain {
  logins: LoginGuard;
  pins: PinGuard;
  strangers: StrangerGuard;
  routes: Route[];
  /** After a user's password was changed. */
  onPasswordChanged(user: { domainId: string; username: string }): Promise<void>;
  sweeps: Sweep[];
}

const FORGET_EVERY_MS = 3_600_000;

/** Addresses that are never banned; the pool's own are read again with the bans. */
function createNeverList(o: BansOptions): {
  has(address: string): boolean;
  refresh(): Promise<void>;
  read(address: string): Promise<boolean>;
} {
  const read = (more: readonly string[]) => {
    const all = [...o.neverNetworks, ...more];
    return { list: listNetworks(all), singles: countedSingles(all) };
  };
  let never = read([]);
  const has = (address: string): boolean => isListed(never.list, never.singles, address);
  const refresh = async (): Promise<void> => {
    never = read([...(await listHosts(o.db)), ...((await o.listNever?.()) ?? [])]);
  };
  return {
    has,
    refresh,
    async read(address) {
      await refresh().catch((error: unknown) => {
        if (!isUnreachable(error)) throw error; // then the last look counts
      });
      return has(address);
    },
  };
}

export function createBans(o: BansOptions): Bans {
  const { db, log, logger, redis, prefix, now } = o;
  const never = createNeverList(o);
  const refusals = createRefusals({ ...o, onLook: never.refresh });
  const tally = createTally(redis, prefix, now);
  const failures = createFailureEvents({ log, redis, prefix, logger, now });
  const deps: BansDeps = { db, log, logger, refusals, readNever: never.read };
  const guard = { ...deps, tally, now, isNever: never.has, countFailure: o.countFailure, createMark: randomUUID };
  const gauge = new Gauge({
    name: 'switchyard_bans',
    help: 'Active bans, by kind; the same on every replica.',
    labelNames: ['kind'],
    registers: [o.registry],
    collect() {
      gauge.reset();
      for (const [kind, count] of refusals.countByKind()) gauge.set({ kind }, count);
    },
  });
  let forgotAtMs = -Infinity;
  async function sweep(at: Date): Promise<void> {
    await endExpiredBans(deps);
    if (at.getTime() - forgotAtMs < FORGET_EVERY_MS) return;
    forgotAtMs = at.getTime();
    await forgetOldBans(db);
  }
  refusals.open();
  failures.open();
  return {
    logins: createLoginGuard({ ...guard, failures, countRefusal: o.countRefusal }),
    pins: createPinGuard(guard),
    strangers: createStrangerGuard(guard),
    routes: bansRoutes(deps),
    onPasswordChanged: ({ domainId, username }) => forgiveLogin(deps, domainId, username),
    sweeps: [{ name: 'bans', run: sweep }],
    async stop() {
      await refusals.stop();
      await failures.stop();
    },
  };
}
