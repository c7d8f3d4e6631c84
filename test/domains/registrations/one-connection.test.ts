/** A change holds one connection and waits for no second: with as many changes as connections all would wait for ever. */
import { createEventLog } from '../../../src/domains/events/events';
import type { NodeRow } from '../../../src/domains/nodes/nodes.store';
import { QUOTAS } from '../../../src/domains/quotas/catalogue';
import { createQuotaChecks } from '../../../src/domains/quotas/quotas';
import { createLateProofs } from '../../../src/domains/registrations/events/late-proofs';
import { handleRegistrationEvents } from '../../../src/domains/registrations/events/registration-events';
import type { RegistrationDeps } from '../../../src/domains/registrations/registrations';
import type { RegisteredEvent } from '../../../src/freeswitch/esl';
import { createDb, type Db } from '../../../src/infra/stores/db';
import { createId } from '../../../src/infra/ids';
import { createLogger } from '../../../src/infra/logger';
import { useStores } from '../../stores';

const stores = useStores();
const logger = createLogger('silent');
let db: Db;
afterAll(() => db?.destroy());

test('phones past the limit of their user are counted where the pool has one connection', async () => {
  db = createDb(stores.databaseUrl, 1, { connectMs: 500, statementMs: 20_000, idleInTransactionMs: 20_000 });
  const domainId = createId();
  const node = { id: createId(), name: 'one' } as NodeRow;
  await db('domains').insert({ id: domainId, name: 'one.test' });
  await db('users').insert({ id: createId(), domain_id: domainId, username: 'ann', ha1: 'x' });
  const ports = { esl_port: 1, sip_port: 3, internode_port: 5, ws_port: 7 };
  const secrets = { secret_hash: 'x', esl_password_sealed: 'x' };
  await db('nodes').insert({ ...node, host: '127.0.0.1', ...secrets, state: 'serving', ...ports });
  await db('quotas').insert({ domain_id: domainId, quota: 'registrationsPerUser', amount: 1 });
  const defaults = Object.fromEntries(Object.entries(QUOTAS).map(([name, quota]) => [name, quota.default]));
  const deps: RegistrationDeps = {
    db,
    log: createEventLog(db, { ring: () => undefined }, logger),
    logger,
    quotas: createQuotaChecks({
      db,
      buckets: { take: () => Promise.resolve({ waitMs: 0 }) } as never,
      defaults: defaults as never,
      refusals: { note: () => undefined },
      now: Date.now,
    }),
    flush: () => undefined,
    shownLogins: {
      isShown: () => Promise.resolve(true),
      wasShown: () => Promise.resolve(true),
      shownAtMs: () => Promise.resolve(undefined),
    },
    lateProofs: createLateProofs({ logger, sleep: () => Promise.resolve() }),
    askProfile: () => Promise.resolve([]),
    doubts: { add: () => undefined, stop: () => undefined },
    refuseReport: () => undefined,
  };
  for (const index of [1, 2]) {
    const event: RegisteredEvent = {
      ...{ type: 'registered' as const, username: 'ann', domain: 'one.test', contact: `sip:ann@192.0.2.${index}:5060` },
      ...{ sipCallId: `call-${index}`, expiresSeconds: 300, networkIp: `192.0.2.${index}`, networkPort: 5060 },
      ...{ userAgent: 'a phone', profile: 'internal', status: 'Registered(UDP)', transport: 'udp', atMs: Date.now() },
    };
    await handleRegistrationEvents(deps, [{ node, event }]);
  }
  expect(await db('registrations').select('sip_call_id')).toEqual([{ sip_call_id: 'call-2' }]);
});
