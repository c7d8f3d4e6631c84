/** One fault run from its beginning to its figures: harm under load, heal, wait for quiet, and look for what broke. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'pg';
import { createLogger } from '../../../src/infra/logger';
import { createRedis } from '../../../src/infra/stores/redis';
import { countAnswered, talkAgain } from './judging/afterwards';
import { createApi } from './api';
import { again, injectFaults, type Injected } from './injecting/inject';
import { findViolations, type Violation } from './judging/invariants';
import { bringPeople, startLoad } from './load';
import { openLooker, type Looker } from './judging/look';
import { checkLog, type LogFigures } from './log';
import { startReader } from './judging/reader';
import { createAims, createRecoveries } from './judging/recovery';
import { createRandom } from './random';
import { startCluster, type Cluster, type ClusterOptions } from './cluster';
import { findDoubleRings, type Ring } from './injecting/taps';

export interface FaultRunOptions extends Omit<ClusterOptions, 'logLevel' | 'heartbeatSeconds'> {
  faults: number;
  minutes: number;
  faultEveryMs: number;
  atOnce: number;
  loadEveryMs: number;
  phonesPerNode: number;
  /** How long the pool may take, after all is healed, until both truths agree. */
  quietLimitMs: number;
  /** How long everything may take to end after everybody was hung up. */
  endLimitMs: number;
  logLevel?: string;
  report: (line: string) => void;
}

export interface FaultReport {
  injected: Injected[];
  violations: Violation[];
  /** What happened around each violation. */
  trails: string[];
  outcomes: Record<string, number>;
  /** Calls that were answered while things broke, whatever ended them. */
  talked: number;
  /** Calls that were answered when all was healed, of those that were tried until there were a few. */
  talkedAfterwards: number;
  load: Readonly<Record<string, number>>;
  statuses: [number, number][];
  recoveries: ReadonlyMap<string, number[]>;
  late: readonly string[];
  log: LogFigures;
  rings: number;
  quietMs: number;
  endMs: number;
  dir: string;
}

const HEARTBEAT_SECONDS = 2;
const SAMPLE_MS = 1000;
/** A violation must be there in so many looks in a row: two truths are never read in the same instant. */
const LOOKS = 4;
/** An event may be so much later than what it tells. */
const RING_TOLERANCE_MS = 50;

export async function runFaults(o: FaultRunOptions): Promise<FaultReport> {
  const cluster = await startCluster({ ...o, logLevel: o.logLevel ?? 'warn', heartbeatSeconds: HEARTBEAT_SECONDS });
  const db = new Pool({
    connectionString: cluster.databaseUrl,
    max: 4,
    connectionTimeoutMillis: 10_000,
    query_timeout: 30_000,
  });
  db.on('error', () => undefined);
  const redis = createRedis(cluster.redisUrl, createLogger('silent'));
  const closing: (() => Promise<unknown> | void)[] = [() => cluster.stop(), () => db.end(), () => redis.disconnect()];
  try {
    await redis.connect();
    return await play(o, cluster, db, redis, closing);
  } finally {
    for (const close of closing.reverse()) await close();
  }
}

async function play(
  o: FaultRunOptions,
  cluster: Cluster,
  db: Pool,
  redis: ReturnType<typeof createRedis>,
  closing: (() => Promise<unknown> | void)[],
): Promise<FaultReport> {
  const { report } = o;
  const api = createApi(cluster.replicas, createRandom(o.seed + 1000));
  const people = await bringPeople(cluster, api, o.phonesPerNode);
  report(
    `${cluster.replicas.length} replicas, ${cluster.nodes.length} nodes, ${people.phones.length} phones; ${cluster.dir}`,
  );
  const readers = [...people.domains, undefined].map((domain, i) =>
    startReader(domain, cluster.replicas, createRandom(o.seed + 2000 + i)),
  );
  closing.push(() => Promise.all(readers.map((reader) => reader.stop())));
  const recoveries = createRecoveries();
  closing.push(() => recoveries.stop());
  const load = startLoad({ cluster, api, people, random: createRandom(o.seed + 3000), everyMs: o.loadEveryMs });
  closing.push(() => load.stop());

  const injected = await injectFaults({
    cluster,
    redis,
    random: createRandom(o.seed),
    recoveries,
    aims: createAims(db, redis),
    count: o.faults,
    everyMs: o.faultEveryMs,
    atOnce: o.atOnce,
    untilMs: Date.now() + o.minutes * 60_000,
    report: ({ number, kind, target }) => {
      if (number % 25 === 0 || o.faults <= 25) report(`fault ${number} of ${o.faults}: ${kind} of ${target}`);
    },
  });

  report('healing everything');
  await load.stop();
  await heal(cluster);
  const passwords = await readPasswords(cluster);
  const looker = await openLooker(cluster, db, redis, passwords);
  closing.push(() => looker.close());
  const settled = await waitForQuiet(looker, false, o.quietLimitMs);
  report(`both truths ${settled.violations.length === 0 ? 'agree' : 'do not agree'} after ${settled.tookMs} ms`);
  for (const { rule, text } of settled.violations) report(`  ${rule}: ${text}`);
  const talked = await countAnswered(db);
  const talkedAfterwards = await talkAgain(api, people, db, o.endLimitMs);
  report(`${talked} calls were answered meanwhile, ${talkedAfterwards} afterwards`);
  const live = await db.query<{ id: string }>(`select id from calls where state <> 'ended'`);
  for (const { id } of live.rows) await api.ask('POST', `/v1/calls/${id}/hangup`, {});
  const over = await waitForQuiet(looker, true, o.endLimitMs);
  report(`everything ${over.violations.length === 0 ? 'is over' : 'is not over'} after ${over.tookMs} ms`);
  await recoveries.stop();

  const rings = (await Promise.all(cluster.hosts.map((host) => host.ask<Ring[]>('rings', {}, 20_000)))).flat();
  const log = await checkLog(db, readers);
  const violations = merge([
    ...settled.violations,
    ...over.violations,
    ...log.violations,
    ...findDoubleRings(rings, RING_TOLERANCE_MS).map(showDoubleRing),
    ...api.faults.map((text) => ({ rule: 'an answer 500', key: `500 ${text}`, text })),
  ]);
  const trails: string[] = [];
  for (const violation of violations.slice(0, 40)) trails.push(await readTrail(db, violation));
  const outcomes = await db.query<{ outcome: string; count: string }>(
    `select coalesce(outcome, state) as outcome, count(*) from calls group by 1 order by 2 desc`,
  );
  return {
    injected,
    violations,
    trails,
    outcomes: Object.fromEntries(outcomes.rows.map((r) => [r.outcome, Number(r.count)])),
    talked,
    talkedAfterwards,
    load: load.counts,
    statuses: [...api.statuses].sort(([a], [b]) => a - b),
    recoveries: recoveries.times,
    late: recoveries.late,
    log: log.figures,
    rings: rings.length,
    quietMs: settled.tookMs,
    endMs: over.tookMs,
    dir: cluster.dir,
  };
}

/** Whatever was mended already is left as it is. */
async function heal(cluster: Cluster): Promise<void> {
  for (const replica of cluster.replicas) {
    replica.signal('SIGCONT');
    if (!replica.isRunning) await again(() => replica.start());
  }
  for (const node of cluster.nodes) {
    await again(() => cluster.harm(node, 'restart'));
    for (const fault of ['thaw', 'heal', 'fast'] as const) await cluster.harm(node, fault);
    await cluster.harm(node, 'refuse', { count: 0 });
    await cluster.harm(node, 'lose', { count: 0 });
  }
}

async function readPasswords(cluster: Cluster): Promise<Map<string, string>> {
  const all = cluster.hosts.map((host) => host.ask<{ name: string; eslPassword: string }[]>('describe', {}, 20_000));
  return new Map((await Promise.all(all)).flat().map((node) => [node.name, node.eslPassword]));
}

/** @returns what is broken in several looks in a row, when the time is over; nothing as soon as one look is clean */
async function waitForQuiet(
  looker: Looker,
  atTheEnd: boolean,
  limitMs: number,
): Promise<{ violations: Violation[]; tookMs: number }> {
  const fromMs = Date.now();
  const looks: Violation[][] = [];
  for (;;) {
    const found = findViolations(await looker.check(), atTheEnd);
    const tookMs = Date.now() - fromMs;
    if (found.length === 0) return { violations: [], tookMs };
    looks.push(found);
    if (tookMs > limitMs && looks.length >= LOOKS) {
      const last = looks.slice(-LOOKS);
      return { violations: found.filter((v) => last.every((check) => check.some((w) => w.key === v.key))), tookMs };
    }
    await sleep(SAMPLE_MS);
  }
}

function merge(list: Violation[]): Violation[] {
  return [...new Map(list.map((violation) => [violation.key, violation])).values()];
}

function showDoubleRing([before, next]: [Ring, Ring]): Violation {
  const show = (r: Ring): string =>
    `${r.node} leg ${r.legId} ${new Date(r.fromMs).toISOString()}–${r.untilMs ? new Date(r.untilMs).toISOString() : 'now'}`;
  return {
    rule: 'two rings for one call at once',
    key: `rings ${before.legId} ${next.legId}`,
    callId: next.callId,
    text: `${next.phone} rang twice for call ${next.callId}: ${show(before)} and ${show(next)}`,
  };
}

/** The events of the violation's call or room, and its attempts. */
async function readTrail(db: Pool, violation: Violation): Promise<string> {
  const { callId, roomId } = violation;
  if (!callId && !roomId) return '';
  const events = await db.query<{ number: string; at: Date; type: string; data: unknown }>(
    `select number, at, type, data from events where ${callId ? 'call_id' : 'room_id'} = $1 order by stream, number desc limit 40`,
    [callId ?? roomId],
  );
  const attempts = await db.query('select * from call_attempts where call_id = $1 order by number', [callId ?? null]);
  const legs = await db.query('select * from legs where call_id = $1 order by created_at', [callId ?? null]);
  return [
    ...events.rows.reverse().map((e) => `    ${e.number} ${e.at.toISOString()} ${e.type} ${JSON.stringify(e.data)}`),
    ...attempts.rows.map((row) => `    attempt ${JSON.stringify(row)}`),
    ...legs.rows.map((row) => `    leg ${JSON.stringify(row)}`),
  ].join('\n');
}
