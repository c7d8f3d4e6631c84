/** How many events of nodes a second become state, from memory and from sockets, beside bare transactions in the same run. */
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { parseArgs } from 'node:util';
import { pino } from 'pino';
import { Pool } from 'pg';
import { moveCalls, type CallEndDeps } from '../../src/domains/calls/events/move-calls';
import { createEventLog } from '../../src/domains/events/events';
import { createClaims } from '../../src/domains/nodes/capacity/claims';
import { createEventBatches, type NodeQueue } from '../../src/domains/nodes/connections/event-batches';
import type { NodeRow } from '../../src/domains/nodes/nodes.store';
import { findParticipantsOfLegs } from '../../src/domains/rooms/participants/member-batch.store';
import { openConnection, type NodeEvent } from '../../src/freeswitch/esl';
import { parseRawEvent, typedEvent } from '../../src/freeswitch/esl/events/parse-event';
import { createId } from '../../src/infra/ids';
import { createRedis } from '../../src/infra/stores/redis';
import { createConcurrencyLimit } from '../../src/infra/flow/concurrency-limit';
import { createDb, type Db } from '../../src/infra/stores/db';
import { migrateDb } from '../../src/infra/stores/migrate';
import { median, ownRole, round, serveRole, startRole, withStores, type Role } from './roles';
import { channelFrame, END, SETUP, type BenchCall } from './scale/frames';

const POOL = 20;
const DOMAINS = 20;
const LIMIT_MS = 120_000;
const EVENTS_PER_CALL = SETUP.length + END.length;
const logger = pino({ level: 'error' });

interface Measured {
  perSecond: number;
  /** Processor time until it began. */
  before: { node: number; postgres: number };
}

interface BenchNodeCalls {
  node: NodeRow;
  calls: BenchCall[];
}

interface Stage {
  db: Db;
  bare: Pool;
  settle: CallEndDeps;
  domainIds: string[];
  nodes: NodeRow[];
}

async function seed(db: Db, count: number): Promise<{ domainIds: string[]; nodes: NodeRow[] }> {
  await migrateDb(db);
  const domains = Array.from({ length: DOMAINS }, (_, i) => ({ id: createId(), name: `bench-${i}.test` }));
  await db('domains').insert(domains);
  const nodes = Array.from({ length: count }, (_, i) => ({
    ...{ id: createId(), name: `node-${i}`, secret_hash: '', esl_password_sealed: '', host: '192.0.2.1' },
    ...{ esl_port: 8021, sip_port: 5060, internode_port: 5080, ws_port: 5066, state: 'serving' },
  }));
  await db('nodes').insert(nodes);
  return { domainIds: domains.map(({ id }) => id), nodes: (await db('nodes').select('*')) as NodeRow[] };
}

/** Calls that were just placed, spread over nodes and domains. */
async function placeCalls({ db, domainIds, nodes }: Stage, count: number): Promise<BenchNodeCalls[]> {
  const of: BenchNodeCalls[] = nodes.map((node) => ({ node, calls: [] }));
  const now = new Date();
  const rows = Array.from({ length: count }, (_, i) => {
    const call: BenchCall = { callId: createId(), fromLeg: createId(), toLeg: createId() };
    of[i % of.length]!.calls.push(call);
    return { call, node: of[i % of.length]!.node, domainId: domainIds[i % domainIds.length]! };
  });
  await db.batchInsert(
    'calls',
    rows.map(({ call, node, domainId }) => ({
      ...{ id: call.callId, domain_id: domainId, origin: 'api', from_address: 'user:ann', to_address: 'user:bob' },
      ...{ state: 'placing', node_id: node.id, units: 1, place_before: now, queued_at: now, placing_at: now },
    })),
    500,
  );
  await db.batchInsert(
    'call_attempts',
    rows.map(({ call, node }) => ({
      ...{ call_id: call.callId, number: 1, node_id: node.id, node_name: node.name, leg_id: call.fromLeg },
      placed_at: now,
    })),
    500,
  );
  await db.batchInsert(
    'legs',
    rows.map(({ call, node }) => ({
      ...{ id: call.fromLeg, call_id: call.callId, node_id: node.id, role: 'from', address: 'user:ann' },
      ...{ state: 'placing', created_at: now },
    })),
    500,
  );
  return of;
}

/** One event after the other of all calls of a node, as if they all began and ended together. */
function framesOf(calls: readonly BenchCall[]): string[] {
  return [...SETUP, ...END].flatMap(([role, phase]) => calls.map((call) => channelFrame(call, role, phase)));
}

const bodyOf = (frame: string): Buffer => Buffer.from(frame.slice(frame.indexOf('\n\n') + 2));

function openQueues(stage: Stage, onTaken: (count: number) => void): Map<string, NodeQueue> {
  const intake = createEventBatches({
    logger,
    lanes: [
      {
        ...{ name: 'channels', most: 500, batches: 2, gatherMs: 5 },
        async take(facts) {
          const channels = facts.flatMap(({ node, event }) => (event.type === 'channel' ? [{ node, event }] : []));
          await moveCalls(
            stage.settle,
            channels.map(({ node, event }) => ({ kind: 'channel', node, event })),
          );
          const ends = channels.filter(({ event }) => event.phase === 'hangup');
          await findParticipantsOfLegs(
            stage.db,
            ends.map(({ event }) => event.legId),
          );
          onTaken(facts.length);
        },
      },
    ],
    laneOf: () => 'channels',
    now: () => performance.now(),
  });
  return new Map(stage.nodes.map((node) => [node.id, intake.open(node)]));
}

/** Resolves with the seconds in which all of them were taken in. */
function untilTaken(total: number): { onTaken: (count: number) => void; seconds: Promise<number> } {
  const began = performance.now();
  let left = total;
  let onTaken: (count: number) => void = () => undefined;
  const seconds = new Promise<number>((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`${left} events were not taken in`)), LIMIT_MS);
    onTaken = (count) => {
      left -= count;
      if (left > 0) return;
      clearTimeout(late);
      resolve((performance.now() - began) / 1000);
    };
  });
  return { onTaken: (count) => onTaken(count), seconds };
}

/** Bytes in memory → JSON → typed → state. */
async function fromMemory(stage: Stage, count: number): Promise<Measured> {
  const placed = await placeCalls(stage, count);
  const bodies = placed.map(({ node, calls }) => ({ node, bodies: framesOf(calls).map(bodyOf) }));
  const before = await readCpu(stage);
  const { onTaken, seconds } = untilTaken(count * EVENTS_PER_CALL);
  const queues = openQueues(stage, onTaken);
  const longest = Math.max(...bodies.map((of) => of.bodies.length));
  for (let i = 0; i < longest; i += 1) {
    for (const of of bodies) {
      const body = of.bodies[i];
      const raw = body && parseRawEvent(body);
      const event = raw && typedEvent(raw);
      if (event) queues.get(of.node.id)!.add(event, Date.now());
    }
    if (i % 20 === 19) await new Promise((resolve) => setImmediate(resolve));
  }
  const perSecond = (count * EVENTS_PER_CALL) / (await seconds);
  await checkOver(stage);
  return { perSecond, before };
}

/** Sockets → frames → JSON → typed → state; another process writes. */
async function fromSockets(stage: Stage, sender: Role, count: number): Promise<Measured> {
  const placed = await placeCalls(stage, count);
  const { port } = await sender.ask<{ port: number }>({ lists: placed.map(({ calls }) => calls) }, LIMIT_MS);
  const queues: { of: Map<string, NodeQueue> } = { of: new Map() };
  const connections = [];
  for (const { node } of placed) {
    const connection = await openConnection({
      ...{ host: '127.0.0.1', port, password: 'x', connectTimeoutMs: 5000, logger },
    });
    connection.onEvent((event: NodeEvent) => queues.of.get(node.id)?.add(event, Date.now()));
    connections.push(connection);
  }
  const before = await readCpu(stage);
  const { onTaken, seconds } = untilTaken(count * EVENTS_PER_CALL);
  queues.of = openQueues(stage, onTaken);
  await sender.ask({ begin: true }, LIMIT_MS);
  const perSecond = (count * EVENTS_PER_CALL) / (await seconds);
  for (const connection of connections) connection.close();
  await checkOver(stage);
  return { perSecond, before };
}

/** The other process: a server that plays each connection one node's events. */
function createSender(): (order: { lists?: BenchCall[][]; begin?: true }) => Promise<unknown> {
  const sockets: Socket[] = [];
  let data: Buffer[] = [];
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.write('Content-Type: auth/request\n\n');
    socket.once('data', () => socket.write('Content-Type: command/reply\nReply-Text: +OK accepted\n\n'));
    sockets.push(socket);
  });
  const listening = new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return async ({ lists, begin }) => {
    await listening;
    if (lists) {
      sockets.length = 0;
      data = lists.map((calls) => Buffer.from(framesOf(calls).join('')));
    }
    if (begin) sockets.forEach((socket, i) => socket.write(data[i]!));
    return { port: (server.address() as AddressInfo).port };
  };
}

/** A leg and one numbered event in a transaction, 20 at once: the least that any event costs where each stands alone. */
async function bareTransactions(stage: Stage, count: number): Promise<Measured> {
  const [{ calls }] = (await placeCalls({ ...stage, nodes: stage.nodes.slice(0, 1) }, 1)) as [BenchNodeCalls];
  const callId = calls[0]!.callId;
  const before = await readCpu(stage);
  let left = count;
  const began = performance.now();
  const one = async (): Promise<void> => {
    while (left-- > 0) {
      const client = await stage.bare.connect();
      try {
        const [leg, stream] = [createId(), stage.domainIds[left % DOMAINS] ?? stage.domainIds[0]!];
        await client.query('begin');
        await client.query({
          name: 'leg',
          text: `insert into legs (id, call_id, node_id, role, address, state, created_at)
                 values ($1, $2, $3, 'to', 'user:bob', 'ended', now())`,
          values: [leg, callId, stage.nodes[0]!.id],
        });
        await client.query({
          name: 'event',
          text: `with head as (
                   insert into event_heads (stream, last_number) values ($1, 1)
                   on conflict (stream) do update set last_number = event_heads.last_number + 1 returning last_number)
                 insert into events (stream, number, type, call_id, data)
                 select $1, last_number, 'call.leg_created', $2, $3 from head`,
          values: [stream, callId, JSON.stringify({ leg })],
        });
        await client.query('commit');
      } finally {
        client.release();
      }
    }
  };
  await Promise.all(Array.from({ length: POOL }, one));
  const perSecond = count / ((performance.now() - began) / 1000);
  await stage.db('calls').where({ id: callId }).del();
  return { perSecond, before };
}

/** Fields of /proc/PID/stat behind the program's name, which may hold anything. */
const statOf = (pid: string | number): number[] => {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat
    .slice(stat.lastIndexOf(')') + 4)
    .split(' ')
    .map(Number);
};
const PARENT = 0;
const TIMES = [10, 11]; // user and system
const TICK_US = 10_000;

/** Processor time of this process and of all of Postgres, in microseconds: neighbours change it least. */
async function readCpu({ db }: Stage): Promise<{ node: number; postgres: number }> {
  const { rows } = await db.raw<{ rows: { pid: number }[] }>('select pg_backend_pid() as pid');
  const postmaster = statOf(rows[0]!.pid)[PARENT]!;
  const timesOf = (pid: string): number => {
    try {
      const stat = statOf(pid);
      return stat[PARENT] === postmaster ? TIMES.reduce((sum, field) => sum + stat[field]!, 0) : 0;
    } catch {
      return 0; // it has ended
    }
  };
  const pids = readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name));
  const { user, system } = process.cpuUsage();
  return { node: user + system, postgres: TICK_US * pids.reduce((sum, pid) => sum + timesOf(pid), 0) };
}

/** No call is left, and no number was skipped. */
async function checkOver({ db }: Stage): Promise<void> {
  const [left] = await db('calls').whereNot('state', 'ended').count<{ count: string }[]>('*');
  const gaps = await db('events as e')
    .join('event_heads as h', 'h.stream', 'e.stream')
    .groupBy('e.stream', 'h.last_number')
    .havingRaw('count(*) <> h.last_number')
    .select('e.stream');
  if (Number(left!.count) > 0 || gaps.length > 0) {
    throw new Error(`${left!.count} calls are left, ${gaps.length} streams have gaps`);
  }
}

async function measure(stage: Stage, sender: Role, o: { rounds: number; calls: number }): Promise<void> {
  const kinds = {
    memory: () => fromMemory(stage, o.calls),
    sockets: () => fromSockets(stage, sender, o.calls),
    bare: () => bareTransactions(stage, o.calls * 3),
  };
  const events = { memory: o.calls * EVENTS_PER_CALL, sockets: o.calls * EVENTS_PER_CALL, bare: o.calls * 3 };
  const seen: Record<keyof typeof kinds, number[]> = { memory: [], sockets: [], bare: [] };
  const cpu: Record<keyof typeof kinds, number[]> = { memory: [], sockets: [], bare: [] };
  for (let i = -1; i < o.rounds; i += 1) {
    const names = Object.keys(kinds) as (keyof typeof kinds)[];
    if (i % 2) names.reverse();
    for (const name of names) {
      const { perSecond, before } = await kinds[name]();
      const after = await readCpu(stage);
      if (i < 0) continue; // the first warms up
      seen[name].push(perSecond);
      cpu[name].push((after.node - before.node + after.postgres - before.postgres) / events[name]);
    }
    await stage.db.raw('truncate calls, events cascade');
    await stage.db('event_heads').update({ last_number: 0, first_number: 1 });
  }
  const of = (name: keyof typeof kinds): number => median(seen[name]);
  const ratio = (name: keyof typeof kinds): number => round(median(seen[name].map((n, i) => n / seen.bare[i]!)), 2);
  const cpuOf = (name: keyof typeof kinds): number => round(median(cpu[name]));
  console.log(
    JSON.stringify({
      rounds: o.rounds,
      eventsPerRound: o.calls * EVENTS_PER_CALL,
      memoryPerSecond: round(of('memory')),
      socketsPerSecond: round(of('sockets')),
      bareTransactionsPerSecond: round(of('bare')),
      memoryToBare: ratio('memory'),
      socketsToBare: ratio('sockets'),
      cpuMicros: { memory: cpuOf('memory'), sockets: cpuOf('sockets'), bare: cpuOf('bare') },
      aim: { socketsPerSecond: 15_000, toBare: 4 },
    }),
  );
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '3' },
      calls: { type: 'string', default: '2000' },
      nodes: { type: 'string', default: '20' },
    },
  });
  await withStores(async ({ databaseUrl, redisUrl }) => {
    const db = createDb(databaseUrl, POOL);
    const bare = new Pool({ connectionString: databaseUrl, max: POOL });
    const redis = createRedis(redisUrl, logger);
    const sender = startRole(__filename, 'sender');
    try {
      await redis.connect();
      const log = createEventLog(db, { ring: () => undefined }, logger, createConcurrencyLimit(POOL / 2));
      const claims = createClaims(redis, 'bench');
      const settle: CallEndDeps = { db, log, logger, claims, links: { api: () => Promise.reject(new Error('none')) } };
      const stage = { db, bare, settle, ...(await seed(db, Number(values.nodes))) };
      await measure(stage, sender, { rounds: Number(values.rounds), calls: Number(values.calls) });
    } finally {
      sender.stop();
      redis.disconnect();
      await bare.end();
      await db.destroy();
    }
  });
}

if (ownRole === 'sender') serveRole(createSender());
else
  main().catch((error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  });
