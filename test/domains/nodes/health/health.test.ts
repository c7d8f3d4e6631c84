/** When a node is passed over and when it is taken again: not for one stumble, and not at the first good sign. */
import { explainHealth, judgeProbe, type Probe, type ProbeState } from '../../../../src/domains/nodes/health/health';
import { HEALTH } from '../../../../src/domains/nodes/limits';
import { selectNode, explainConsidered, type NodeView } from '../../../../src/domains/nodes/selection/select-node';

const at = new Date(0);
const good: Probe = { at, conferenceMs: 1, webSocket: 'open', failure: null };
const bad: Probe = { at, conferenceMs: null, webSocket: 'open', failure: 'it hangs' };
const after = (...seen: Probe[]): Partial<ProbeState> => seen.reduce<Partial<ProbeState>>(judgeProbe, {});
const times = (n: number, probe: Probe): Probe[] => Array.from({ length: n }, () => probe);

test('a node is passed over after several failures in a row, and not before', () => {
  const { failuresToLeave } = HEALTH;
  expect(after(...times(failuresToLeave - 1, bad)).out).toBeNull();
  expect(after(...times(failuresToLeave - 1, bad), good, ...times(failuresToLeave - 1, bad)).out).toBeNull();
  expect(after(...times(failuresToLeave, bad)).out).toBe('it hangs');
});

test('it is taken again after several good looks in a row, and the newest reason is kept until then', () => {
  const { failuresToLeave, successesToReturn } = HEALTH;
  const out = times(failuresToLeave, bad);
  expect(after(...out, ...times(successesToReturn - 1, good)).out).toBe('it hangs');
  expect(after(...out, ...times(successesToReturn - 1, good), { ...bad, failure: 'again' }, good).out).toBe('again');
  expect(after(...out, ...times(successesToReturn, good)).out).toBeNull();
});

test('the checks and the canary must both be good', () => {
  const canary = {
    at: '',
    ok: false,
    heard: false,
    recorded: true,
    setupMs: 1,
    mixedMs: null,
    levelDb: null,
    tookMs: 1,
    failure: 'silence',
  };
  expect(explainHealth({ probe: {}, canary: null })).toBeNull();
  expect(explainHealth({ probe: {}, canary })).toContain('silence');
  expect(explainHealth({ probe: { out: 'it hangs' }, canary: { ...canary, ok: true } })).toBe('it hangs');
});

test('a node that is not well is refused with the reason, however empty it is', () => {
  const view: NodeView = {
    id: 'a',
    name: 'one',
    state: 'serving',
    zone: '',
    capacityUnits: 100,
    claimedUnits: 0,
    sessionCount: 0,
    maxSessions: 1000,
    idleCpuPercent: 99,
    reportedAtMs: 0,
    unhealthyReason: 'it hangs',
  };
  const request = { units: 1, registeredNodeIds: [], excludedNodeIds: [], reportLimitMs: 1000, minIdleCpuPercent: 0 };
  const choice = selectNode([view], request, 0, () => 0);
  expect(choice).toMatchObject({ nodeId: null, considered: [{ rejected: 'unhealthy' }] });
  expect(explainConsidered(choice.considered[0]!, null)).toBe('one: not possible, because it is not well (it hangs).');
});
