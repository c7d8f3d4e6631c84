/** Holds capacity for a call in Redis by one script, so that any number of replicas never fill a node past its limit. */
import type { Redis } from '../../../infra/stores/redis';

/**
 * A node's claims: a sorted set (call → expiry), a hash (call → units in thousandths) and their running total.
 * The braces keep a node's keys in one slot of a Redis cluster.
 */
function claimKeys(prefix: string, nodeId: string): [string, string, string] {
  const base = `${prefix}:{claims:${nodeId}}`;
  return [`${base}:expiry`, `${base}:units`, `${base}:total`];
}
/** There where all that must hold a claim on the node does: a Redis that has lost everything has lost this as well. */
const knownKey = (prefix: string, nodeId: string): string => `${prefix}:{claims:${nodeId}}:known`;

const SWEEP = `
local gone = redis.call('zrangebyscore', KEYS[1], '-inf', ARGV[1])
for _, call in ipairs(gone) do
  local units = tonumber(redis.call('hget', KEYS[2], call) or '0')
  redis.call('zrem', KEYS[1], call)
  redis.call('hdel', KEYS[2], call)
  redis.call('decrby', KEYS[3], units)
end`;

/**
 * ARGV: now, call, units, capacity (-1 for "whatever it is"), expiry, and 1 where the node must be known (KEYS[4]).
 * Answers {granted, total}; -1 where it is not known.
 */
const CLAIM = `${SWEEP}
if ARGV[6] == '1' and redis.call('exists', KEYS[4]) == 0 then return {-1, 0} end
local held = redis.call('hget', KEYS[2], ARGV[2])
local total = tonumber(redis.call('get', KEYS[3]) or '0')
if held then
  redis.call('zadd', KEYS[1], ARGV[5], ARGV[2])
  return {1, total}
end
local capacity = tonumber(ARGV[4])
if capacity >= 0 and total + tonumber(ARGV[3]) > capacity then return {0, total} end
redis.call('zadd', KEYS[1], ARGV[5], ARGV[2])
redis.call('hset', KEYS[2], ARGV[2], ARGV[3])
total = redis.call('incrby', KEYS[3], ARGV[3])
return {1, total}`;

/** ARGV: now, call, units, capacity (-1 for "whatever it is"), expiry. Answers {granted, total}; refused, all stays. */
const RESIZE = `${SWEEP}
local held = tonumber(redis.call('hget', KEYS[2], ARGV[2]) or '0')
local more = tonumber(ARGV[3]) - held
local total = tonumber(redis.call('get', KEYS[3]) or '0')
local capacity = tonumber(ARGV[4])
if more > 0 and capacity >= 0 and total + more > capacity then
  if held > 0 then redis.call('zadd', KEYS[1], ARGV[5], ARGV[2]) end
  return {0, total}
end
redis.call('zadd', KEYS[1], ARGV[5], ARGV[2])
redis.call('hset', KEYS[2], ARGV[2], ARGV[3])
total = redis.call('incrby', KEYS[3], more)
return {1, total}`;

/** ARGV: now, expiry, then call and units of each. From then on the node is known, for a day: removed ones leave nothing. */
const RECALL = `${SWEEP}
for i = 3, #ARGV, 2 do
  if redis.call('hsetnx', KEYS[2], ARGV[i], ARGV[i + 1]) == 1 then
    redis.call('zadd', KEYS[1], ARGV[2], ARGV[i])
    redis.call('incrby', KEYS[3], ARGV[i + 1])
  end
end
redis.call('set', KEYS[4], '1', 'EX', 86400)`;

/** ARGV: now, expiry, calls. Answers those that were not held; the others are for longer now. */
const RENEW_ALL = `${SWEEP}
local forgotten, kept = {}, {}
for i, expiry in ipairs(redis.call('zmscore', KEYS[1], unpack(ARGV, 3))) do
  local call = ARGV[i + 2]
  if expiry then
    kept[#kept + 1] = ARGV[2]
    kept[#kept + 1] = call
  else
    forgotten[#forgotten + 1] = call
  end
end
if #kept > 0 then redis.call('zadd', KEYS[1], unpack(kept)) end
return forgotten`;

const RELEASE = `${SWEEP}
for i = 2, #ARGV do
  local units = redis.call('hget', KEYS[2], ARGV[i])
  if units then
    redis.call('zrem', KEYS[1], ARGV[i])
    redis.call('hdel', KEYS[2], ARGV[i])
    redis.call('decrby', KEYS[3], units)
  end
end
return 1`;

const TOTAL = `${SWEEP}
return tonumber(redis.call('get', KEYS[3]) or '0')`;

/** A claim nobody renews is gone after this; the sweep renews those of live calls well before. */
export const CLAIM_TTL_MS = 120_000;

export interface HeldClaim {
  nodeId: string;
  callId: string;
  units: number;
}

/** What is written down of who must hold a claim; asked where Redis knows nothing of a node. */
export interface Recall {
  list(nodeId: string): Promise<HeldClaim[]>;
  /** The ids of those that are still needed. */
  findNeeded(claims: readonly HeldClaim[]): Promise<ReadonlySet<string>>;
}

export interface Claims {
  /**
   * Where Redis knows nothing of the node, since it is new or everything was lost, what must be held is claimed first:
   * else a node that is full would look empty until the sweep has passed.
   * @returns false where the node would be past its capacity. Claiming again for the same call renews it.
   */
  claim(nodeId: string, callId: string, units: number, capacityUnits: number | null, nowMs: number): Promise<boolean>;
  /**
   * Makes a claim larger or smaller, or makes it where it is missing. Smaller is always granted.
   * @returns false where the node would be past its capacity: the claim stays as it was, and is renewed.
   */
  resize(nodeId: string, callId: string, units: number, capacityUnits: number | null, nowMs: number): Promise<boolean>;
  /** One, or all of these in one script. */
  release(nodeId: string, callIds: string | readonly string[], nowMs: number): Promise<void>;
  /**
   * Makes claims last: one script for each node, all sent together. Those that Redis has forgotten are made again; and given
   * back where `findNeeded` then says that what they were for has ended in the meantime, since whoever ended it found nothing to
   * release.
   * @param findNeeded answers the ids of those that are still needed
   * @returns how many Redis had forgotten
   */
  keepAll(
    held: readonly HeldClaim[],
    nowMs: number,
    findNeeded: (claims: readonly HeldClaim[]) => Promise<ReadonlySet<string>>,
  ): Promise<number>;
  /** Units held on each node, in the order of the ids. */
  readTotals(nodeIds: readonly string[], nowMs: number): Promise<number[]>;
  /**
   * The same in one read, for pools of a thousand nodes: what has expired may still be counted on some of them, since
   * each time another few dozen are swept. Never less than is held.
   */
  estimateTotals(nodeIds: readonly string[], nowMs: number): Promise<number[]>;
  /** Which calls hold a claim on the node. */
  listClaims(nodeId: string): Promise<string[]>;
}

/** Nodes swept with each estimate, one after the other; a pool of no more than this is always read exactly. */
const SWEPT_AT_ONCE = 50;

/** Calls renewed by one script: it runs alone in Redis, for less than a millisecond. */
const RENEWED_AT_ONCE = 200;

function batchByNode(held: readonly HeldClaim[]): HeldClaim[][] {
  const batches: HeldClaim[][] = [];
  const open = new Map<string, HeldClaim[]>();
  for (const claim of held) {
    let batch = open.get(claim.nodeId);
    if (!batch || batch.length >= RENEWED_AT_ONCE) {
      batch = [];
      batches.push(batch);
      open.set(claim.nodeId, batch);
    }
    batch.push(claim);
  }
  return batches;
}

const toStored = (units: number): number => Math.round(units * 1000);

/** A pipeline answers each command by itself; one that failed fails all. */
function failOnError(answers: [Error | null, unknown][] | null): void {
  for (const [error] of answers ?? []) if (error) throw error;
}

/** @param recall left out: nothing is written down anywhere, and what Redis does not know is not there */
export function createClaims(redis: Redis, prefix: string, recall?: Recall): Claims {
  let nextSwept = 0;

  async function readTotals(nodeIds: readonly string[], nowMs: number): Promise<number[]> {
    if (nodeIds.length === 0) return [];
    const pipeline = redis.pipeline();
    for (const nodeId of nodeIds) pipeline.eval(TOTAL, 3, ...claimKeys(prefix, nodeId), String(nowMs));
    const answers = (await pipeline.exec()) ?? [];
    return answers.map(([error, total]) => {
      if (error) throw error;
      return Number(total) / 1000;
    });
  }

  async function ask(
    script: string,
    nodeId: string,
    callId: string,
    units: number,
    capacityUnits: number | null,
    nowMs: number,
  ): Promise<boolean> {
    const capacity = capacityUnits === null ? -1 : toStored(capacityUnits);
    const expiry = nowMs + CLAIM_TTL_MS;
    const keys = claimKeys(prefix, nodeId);
    const answer = await redis.eval(script, 3, ...keys, nowMs, callId, toStored(units), capacity, expiry);
    return (answer as [number, number])[0] === 1;
  }

  /** In one script, so that nobody claims beside half of it; what has ended in the meantime is given back. */
  async function remember(nodeId: string, from: Recall, nowMs: number): Promise<void> {
    const held = await from.list(nodeId);
    const keys = claimKeys(prefix, nodeId);
    const pairs = held.flatMap(({ callId, units }) => [callId, toStored(units)]);
    await redis.eval(RECALL, 4, ...keys, knownKey(prefix, nodeId), nowMs, nowMs + CLAIM_TTL_MS, ...pairs);
    if (held.length === 0) return;
    const needed = await from.findNeeded(held);
    for (const { callId } of held) {
      if (!needed.has(callId)) await redis.eval(RELEASE, 3, ...keys, nowMs, callId);
    }
  }

  async function claimKnown(
    nodeId: string,
    callId: string,
    units: number,
    capacityUnits: number,
    nowMs: number,
    from: Recall,
  ): Promise<boolean> {
    const keys = [...claimKeys(prefix, nodeId), knownKey(prefix, nodeId)];
    const asked = [nowMs, callId, toStored(units), toStored(capacityUnits), nowMs + CLAIM_TTL_MS, 1];
    const claim = async (): Promise<number> => ((await redis.eval(CLAIM, 4, ...keys, ...asked)) as [number, number])[0];
    const granted = await claim();
    if (granted !== -1) return granted === 1;
    await remember(nodeId, from, nowMs);
    return (await claim()) === 1;
  }

  return {
    claim: (nodeId, callId, units, capacityUnits, nowMs) =>
      recall && capacityUnits !== null
        ? claimKnown(nodeId, callId, units, capacityUnits, nowMs, recall)
        : ask(CLAIM, nodeId, callId, units, capacityUnits, nowMs),
    resize: (...asked) => ask(RESIZE, ...asked),
    async keepAll(held, nowMs, findNeeded) {
      const batches = batchByNode(held);
      if (batches.length === 0) return 0;
      const pipeline = redis.pipeline();
      for (const batch of batches) {
        const calls = batch.map((claim) => claim.callId);
        pipeline.eval(RENEW_ALL, 3, ...claimKeys(prefix, batch[0]!.nodeId), nowMs, nowMs + CLAIM_TTL_MS, ...calls);
      }
      const answers = (await pipeline.exec()) ?? [];
      const forgotten: HeldClaim[] = [];
      answers.forEach(([error, calls], i) => {
        if (error) throw error;
        const missing = new Set(calls as string[]);
        if (missing.size > 0) forgotten.push(...batches[i]!.filter((claim) => missing.has(claim.callId)));
      });
      if (forgotten.length === 0) return 0;
      const making = redis.pipeline();
      const expiry = nowMs + CLAIM_TTL_MS;
      for (const { nodeId, callId, units } of forgotten) {
        making.eval(CLAIM, 3, ...claimKeys(prefix, nodeId), nowMs, callId, toStored(units), -1, expiry);
      }
      failOnError(await making.exec());
      const needed = await findNeeded(forgotten);
      const ended = forgotten.filter((claim) => !needed.has(claim.callId));
      if (ended.length === 0) return forgotten.length;
      const giving = redis.pipeline();
      for (const { nodeId, callId } of ended) giving.eval(RELEASE, 3, ...claimKeys(prefix, nodeId), nowMs, callId);
      failOnError(await giving.exec());
      return forgotten.length;
    },
    async release(nodeId, callIds, nowMs) {
      await redis.eval(RELEASE, 3, ...claimKeys(prefix, nodeId), nowMs, ...[callIds].flat());
    },
    readTotals,
    async estimateTotals(nodeIds, nowMs) {
      if (nodeIds.length <= SWEPT_AT_ONCE) return readTotals(nodeIds, nowMs);
      const from = nextSwept % nodeIds.length;
      const swept = nodeIds.slice(from, from + SWEPT_AT_ONCE);
      nextSwept = from + swept.length;
      const [all, exact] = await Promise.all([
        redis.mget(nodeIds.map((nodeId) => claimKeys(prefix, nodeId)[2])),
        readTotals(swept, nowMs),
      ]);
      return all.map((total, i) => exact[i - from] ?? Number(total ?? 0) / 1000);
    },
    async listClaims(nodeId) {
      return redis.zrangebyscore(claimKeys(prefix, nodeId)[0], '-inf', '+inf');
    },
  };
}
