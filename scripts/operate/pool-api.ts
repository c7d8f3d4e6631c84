/** What `scripts/pool` asks of Switchyard: its public API only, found by the environment or by a running start. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createApiClient, type ApiClient } from '../api/client';
import { StartFault } from '../project';
import { PHONES_GRACE_MS } from '../../src/domains/nodes/drain/own-drain';
import type { RunFile } from '../startup/run-state';

export interface PoolNode {
  id: string;
  name: string;
  state: 'pending' | 'joining' | 'serving' | 'draining' | 'down';
  silent: boolean;
  /** Left out by a Switchyard before 0.3. */
  health?: { healthy: boolean; reason: string | null };
  /** Left out by a Switchyard before 0.4. */
  clock?: { offsetMs: number | null; skewed: boolean; note: string | null };
  /** Left out by a Switchyard before 0.4. */
  lacks?: { modules: string[]; note: string } | null;
  saturated: 'busy_cpu' | 'full' | null;
  downReason: string | null;
  /** Left out by a Switchyard before 0.4. */
  connectionFault?: { kind: string; since: string; why: string } | null;
  zone: string;
  version: string | null;
  sessions: number;
  maxSessions: number;
  idleCpuPercent: number;
  claimedUnits: number | null;
  capacityUnits: number;
  effectiveUnits: number;
  liveCalls: number;
  liveLegs: number;
  rooms: number;
  registrations: number;
  drainDeadlineAt: string | null;
  reportedAt: string | null;
}

export interface PoolAnswer {
  policy: string;
  nodes: PoolNode[];
  total: {
    nodes: number;
    serving: number;
    claimedUnits: number | null;
    effectiveUnits: number;
    liveCalls: number;
    rooms: number;
    registrations: number;
    sessions: number;
  };
  recommendation: {
    action: 'grow' | 'shrink' | 'keep';
    count: number;
    nodes: string[];
    why: string;
    utilisationPercent: number | null;
    servingNodes: number;
    targetPercent: number;
  };
}

export interface SimulateAnswer {
  nodes: {
    node: string;
    change: 'none' | 'removed' | 'added';
    calls: number;
    rooms: number;
    unitsBefore: number;
    unitsAfter: number;
    capacityUnits: number;
  }[];
  explanation: string[];
}

export interface PlacementAnswer {
  call: string;
  decisions: { attempt: number; decidedAt: string; node: string | null; explanation: string[] }[];
}

export interface Switchyard {
  url: string;
  /** Where nodes ask: the same, but where Switchyard has NODES_PORT. */
  nodesUrl: string;
  api: ApiClient;
  /** Media ports that `start` gave to its own nodes: so many nodes from the first on. */
  startedNodes: number;
}

type Env = Record<string, string | undefined>;

/** @throws StartFault where there is no word of a Switchyard */
export function findSwitchyard(stateDir: string, env: Env): Switchyard {
  const run = readJson<RunFile>(join(stateDir, 'run.json'));
  const url = env.SWITCHYARD_URL || run?.url;
  const apiKey = env.SWITCHYARD_API_KEY || run?.apiKey;
  if (!url || !apiKey)
    throw new StartFault(
      `No Switchyard found: ${stateDir}/run.json is not there, so start one with ./scripts/start, or set SWITCHYARD_URL and SWITCHYARD_API_KEY.`,
    );
  const [base, nodesUrl] = [url, env.SWITCHYARD_NODES_URL || (env.SWITCHYARD_URL ? url : run?.nodesUrl) || url].map(
    (each) => each.replace(/\/+$/, ''),
  ) as [string, string];
  return { url: base, nodesUrl, api: createApiClient(base, apiKey), startedNodes: run?.nodes.length ?? 0 };
}

function readJson<T>(file: string): T | undefined {
  if (!existsSync(file)) return undefined;
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as T;
  } catch {
    throw new StartFault(`${file} is not JSON.`);
  }
}

export const readPool = (switchyard: Switchyard, query = ''): Promise<PoolAnswer> =>
  switchyard.api.get(`/v1/pool${query}`);

/** @throws StartFault where the pool has no node of that name or id */
export function requireNode(pool: PoolAnswer, wanted: string | undefined): PoolNode {
  if (wanted === undefined) throw new StartFault('Which node? See ./scripts/pool status.');
  const node = pool.nodes.find((n) => n.name === wanted || n.id === wanted);
  if (!node) throw new StartFault(`No such node: "${wanted}". Known: ${pool.nodes.map((n) => n.name).join(', ')}.`);
  return node;
}

/** Nothing runs on it: not by the tables, not by its own last report. Phones may still be registered there. */
export const isQuiet = (node: PoolNode): boolean =>
  node.liveCalls === 0 && node.liveLegs === 0 && node.rooms === 0 && (node.sessions === 0 || node.state === 'down');

const isOverdue = (node: PoolNode, nowMs: number): boolean =>
  node.drainDeadlineAt !== null && Date.parse(node.drainDeadlineAt) + PHONES_GRACE_MS <= nowMs;

/** Phones are waited for until a while after the deadline of the drain: who has not moved then knows no other node, or is gone. */
export const isEmpty = (node: PoolNode, nowMs: number): boolean =>
  isQuiet(node) && (node.state === 'down' || node.registrations === 0 || isOverdue(node, nowMs));
