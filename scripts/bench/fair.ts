/** How soon a call is dialled: alone, under load, and beside a tenant with 500 ringing and 1,000 queued calls. */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { Db } from '../../src/infra/stores/db';
import { createId } from '../../src/infra/ids';
import { figuresOf, GIVE_UP_MS, load, post, probe, withCallBench, type CallBench, type Times } from './scale/calls';
import { createStandIns } from './scale/nodes';
import { createOwnSwitchyard } from './scale/process';
import * as seed from './scale/seed';
import { ownRole, round, serveRole, withStores } from './roles';

const NODES = 20;
const RINGING = 500;
const QUEUED = 1000;
/** Of the other tenant, one after the other. */
const PROBES = 30;
/** They ring for longer than the run; see scale/nodes.ts. */
const RINGS_ONLY = { ringTimeoutSeconds: 300, queueTimeoutSeconds: 600 };
/** The first two are the tenants that are looked at. */
const OTHERS_FROM = 2;

function show(what: string, times: readonly Times[]): { p50: number; worst: number; missed: number } {
  const figures = figuresOf(times);
  console.log(JSON.stringify({ what, ...figures }));
  return { p50: figures.dialP50, worst: figures.dialMost, missed: figures.notDialled };
}

async function queueMany(db: Db, domainId: string): Promise<void> {
  const rows = Array.from({ length: QUEUED }, () => ({
    id: createId(),
    domain_id: domainId,
    origin: 'api',
    from_address: 'user:1001',
    to_address: '9196',
    state: 'queued',
    units: '1',
    ring_timeout_seconds: RINGS_ONLY.ringTimeoutSeconds,
    place_before: new Date(Date.now() + 600_000),
    queued_at: new Date(),
  }));
  await db.batchInsert('calls', rows, 200);
}

async function count(db: Db, domainId: string, states: string[]): Promise<number> {
  const rows = (await db('calls').where({ domain_id: domainId }).whereIn('state', states).count('* as count')) as {
    count: string;
  }[];
  return Number(rows[0]!.count);
}

async function measure(bench: CallBench, rates: readonly number[]): Promise<void> {
  const [greedy, other] = [seed.domainName(0), seed.domainName(1)];
  const greedyId = bench.domainIds[0]!;
  await load(bench, 20, 2, OTHERS_FROM); // warms up
  for (const rate of rates) {
    show(`${rate} calls a second of ${seed.DOMAINS - OTHERS_FROM} domains`, await load(bench, rate, 8, OTHERS_FROM));
  }
  const alone = show('one tenant alone, one call after the other', await probe(bench, other, PROBES));
  for (let i = 0; i < RINGING; i += 10) {
    await Promise.all(Array.from({ length: 10 }, () => post(bench, greedy, RINGS_ONLY)));
  }
  await queueMany(bench.db, greedyId);
  await sleep(5000); // the sweep has seen them twice
  const ringing = await count(bench.db, greedyId, ['placing', 'ringing']);
  const queued = await count(bench.db, greedyId, ['queued']);
  const beside = show(
    `the same beside a tenant with ${ringing} ringing and ${queued} queued calls`,
    await probe(bench, other, PROBES),
  );
  console.log(
    JSON.stringify({
      ratio: round(beside.p50 / Math.max(1, alone.p50), 2),
      worstMs: beside.worst,
      notDialled: beside.missed,
    }),
  );
  if (beside.missed > 0 || beside.worst > 1000)
    throw new Error("another tenant's call was not dialled within a second");
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { rates: { type: 'string', default: '10,50,100' } } });
  console.log(
    `${NODES} stand-in nodes and one Switchyard on this machine. Milliseconds from a request until its answer, and until ` +
      `originate is at the node; a call that is not there within ${GIVE_UP_MS / 1000} s counts as not dialled.`,
  );
  const rates = values.rates.split(',').map(Number);
  await withStores((stores) =>
    withCallBench(stores, { file: __filename, nodes: NODES }, (bench) => measure(bench, rates)),
  );
}

if (ownRole === 'nodes') serveRole(createStandIns(process.env.DATABASE_URL!));
else if (ownRole === 'switchyard') serveRole(createOwnSwitchyard());
else
  main().catch((error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  });
