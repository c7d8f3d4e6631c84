/** Holds what `scripts/pool` decides and writes, without starting anything. */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parse } from 'yaml';
import { decideScaling, nextState, QUIET_LOOKS, type ScalingState } from '../../scripts/operate/autoscale';
import type { KeptNode } from '../../scripts/operate/kept';
import { findPorts, nextName } from '../../scripts/operate/node-ports';
import type { PoolAnswer, PoolNode } from '../../scripts/operate/pool-api';
import { composeServices } from '../../scripts/operate/provide-compose';
import { chooseKind } from '../../scripts/operate/provide-process';
import { alignColumns, poolTable } from '../../scripts/operate/table';

function node(name: string, change: Partial<PoolNode> = {}): PoolNode {
  return {
    id: name,
    name,
    state: 'serving',
    silent: false,
    saturated: null,
    downReason: null,
    zone: '',
    version: null,
    sessions: 0,
    maxSessions: 1000,
    idleCpuPercent: 100,
    claimedUnits: 0,
    capacityUnits: 100,
    effectiveUnits: 100,
    liveCalls: 0,
    liveLegs: 0,
    rooms: 0,
    registrations: 0,
    drainDeadlineAt: null,
    reportedAt: null,
    ...change,
  };
}
type Advice = PoolAnswer['recommendation'];

function answer(nodes: PoolNode[], action: Advice['action'], count = 1): PoolAnswer {
  const total = { nodes: 0, serving: 0, claimedUnits: 0, effectiveUnits: 0, liveCalls: 0, rooms: 0 };
  const servingNodes = nodes.filter((n) => n.state === 'serving').length;
  return {
    policy: 'least_loaded',
    nodes,
    total: { ...total, registrations: 0, sessions: 0 },
    recommendation: {
      action,
      count,
      nodes: [],
      why: 'Because.',
      utilisationPercent: 50,
      servingNodes,
      targetPercent: 60,
    },
  };
}
const settings = { minNodes: 1, cooldownMs: 60_000 };
const fresh: ScalingState = { changedAtMs: null, quietLooks: 0 };

test('it drains only after several quiet looks and after the cool-down, and only what it can stop', () => {
  const pool = answer([node('base'), node('pool-1', { liveCalls: 3 }), node('pool-2')], 'shrink');
  const view = { pool, ours: ['pool-1', 'pool-2'], leaving: [] };
  let state = { ...fresh, changedAtMs: 0 };
  const seen: string[] = [];
  for (let nowMs = 10_000; nowMs <= 70_000; nowMs += 10_000) {
    const step = decideScaling(view, state, settings, nowMs);
    seen.push(step.do === 'drain' ? `drain ${step.node}` : step.do);
    state = { ...nextState(state, pool, step, nowMs) } as typeof state;
  }
  expect(QUIET_LOOKS).toBe(3);
  expect(seen).toEqual(['keep', 'keep', 'keep', 'keep', 'keep', 'drain pool-2', 'keep']);
  expect(decideScaling({ ...view, ours: [] }, { ...fresh, quietLooks: 9 }, settings, 0).do).toBe('keep');
});

test('it takes back a node that still drains before it adds one, and removes only what is empty', () => {
  const draining = node('pool-1', { state: 'draining', liveCalls: 1 });
  const view = { pool: answer([node('a'), draining], 'grow', 2), ours: ['pool-1'], leaving: ['pool-1'] };
  expect(decideScaling(view, fresh, settings, 0)).toMatchObject({ do: 'resume', node: 'pool-1' });
  const keeping = { ...view, pool: answer([node('a'), draining], 'keep') };
  expect(decideScaling(keeping, fresh, settings, 0).do).toBe('keep');
  const empty = { ...view, pool: answer([node('a'), { ...draining, liveCalls: 0 }], 'keep') };
  expect(decideScaling(empty, fresh, settings, 0)).toMatchObject({ do: 'remove', node: 'pool-1' });
  const reported = { ...view, pool: answer([node('a'), { ...draining, liveCalls: 0, sessions: 2 }], 'keep') };
  expect(decideScaling(reported, fresh, settings, 0).do).toBe('keep');
});

test('it adds at once below the minimum, and otherwise when it has cooled down', () => {
  const view = { pool: answer([node('a')], 'grow', 2), ours: [], leaving: [] };
  const hot = { changedAtMs: 0, quietLooks: 0 };
  expect(decideScaling(view, hot, settings, 1000).do).toBe('keep');
  expect(decideScaling(view, hot, settings, 61_000)).toMatchObject({ do: 'add', count: 2 });
  expect(decideScaling(view, hot, { ...settings, minNodes: 2 }, 1000)).toMatchObject({ do: 'add', count: 2 });
});

const kept: KeptNode = {
  name: 'pool-1',
  provider: 'compose',
  kind: 'real',
  portBase: 7060,
  rtpFrom: 20_384,
  zone: 'east',
  capacity: 50,
  secret: 's'.repeat(32),
};

test('where there is no FreeSWITCH, a pool of real nodes gets no simulated one unless that is asked for', () => {
  const path = process.env.PATH;
  process.env.PATH = '/nowhere';
  try {
    const context = { options: { kind: undefined }, env: {} };
    expect(chooseKind(context, [{ version: null }])).toBe('simulated');
    expect(() => chooseKind(context, [{ version: null }, { version: '1.10.12-release' }])).toThrow(/FREESWITCH_BIN/);
    expect(chooseKind({ ...context, options: { kind: 'simulated' } }, [{ version: '1.10.12' }])).toBe('simulated');
  } finally {
    process.env.PATH = path;
  }
});

test('names and ports are those that nobody has', async () => {
  expect(nextName(new Set(['pool-1', 'pool-3']))).toBe('pool-2');
  const found = await findPorts([{ ...kept, portBase: 30_060 }], {
    portBase: 30_060,
    startedNodes: 6,
    host: '127.0.0.1',
  });
  expect(found.portBase).toBeGreaterThan(30_060);
  expect(found.rtpFrom).toBe(16_384 + 6000);
});

test('a generated service is one of docker-compose.yml’s own nodes in all but its name, ports and secret', () => {
  const text = readFileSync(join(resolve(__dirname, '..', '..'), 'docker-compose.yml'), 'utf8');
  const compose = parse(text, { merge: true });
  const { services } = composeServices(compose['x-node'], [kept]) as { services: Record<string, typeof compose> };
  const [ours, its] = [services['pool-1'], compose.services['node-1']];
  expect({ ...ours, environment: {}, volumes: [] }).toEqual({ ...its, environment: {}, volumes: [] });
  // Its recordings are in a volume without a name, which goes when it is removed.
  expect([ours.volumes, its.volumes]).toEqual([
    ['./freeswitch:/etc/freeswitch:ro', '/kept'],
    ['./freeswitch:/etc/freeswitch:ro', 'node-1:/kept'],
  ]);
  expect(Object.keys(ours.environment).sort()).toEqual(Object.keys(its.environment).sort());
  const query = (service: typeof compose): string[] =>
    [...new URL(service.environment.SWITCHYARD_XML_URL.replace(/\$\{[^}]*\}/g, '8080')).searchParams.keys()].sort();
  expect(query(ours)).toEqual(query(its));
  expect(ours.environment.SWITCHYARD_NODE_PASSWORD).toBe(kept.secret);
  expect(JSON.stringify(ours)).not.toContain('JOIN_TOKEN');
});

test('columns stand under their heads, numbers to the right', () => {
  const rows = [
    ['NODE', 'CALLS', 'NOTE'],
    ['a', '7', ''],
    ['node-10', '120', 'x'],
  ];
  expect(alignColumns(rows, [0, 2])).toBe('NODE     CALLS  NOTE\na            7\nnode-10    120  x');
});

test('on a narrow terminal the table keeps to it: notes go below, and columns go that can be spared', () => {
  const nowMs = Date.parse('2026-01-01T12:00:00Z');
  const nodes = [
    node('node-1', { version: '1.10.12-release', drainDeadlineAt: '2026-01-01T11:00:00Z', state: 'draining' }),
    node('node-2', { version: '1.10.12-release', zone: 'east' }),
  ];
  const draw = (columns?: number): string[] => poolTable(answer(nodes, 'keep'), [], nowMs, columns).split('\n');
  expect(draw()[0]).toMatch(/VERSION +NOTE$/);
  expect(draw()[1]).toMatch(/should have been empty by \d\d:00$/); // the deadline is past, and something still runs
  const narrow = draw(60);
  const table = narrow.slice(0, narrow.indexOf(''));
  expect(Math.max(...table.map((line) => line.length))).toBeLessThanOrEqual(60);
  expect(table[0]).toMatch(/^NODE +STATE +.*CALLS +.*UNITS +IDLE CPU/);
  expect(table.at(-1)).toMatch(/^node-1: should have been empty by/);
});
