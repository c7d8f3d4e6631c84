/** Whatever is reported of a call, in whatever batches: it moves once, ends once, and says so once. */
import fc from 'fast-check';
import type { ChannelPhase } from '../../../../src/freeswitch/esl';
import type { AttemptRow, CallRow, LegRow } from '../../../../src/domains/calls/calls.store';
import type { LoadedCalls } from '../../../../src/domains/calls/events/call-draft';
import type { CallFact, ChannelFact, RecordFact } from '../../../../src/domains/calls/events/call-facts';
import { reduceCalls, type ReducedCalls } from '../../../../src/domains/calls/events/reduce-call';
import type { CallContext } from '../../../../src/domains/calls/events/reduction';

const id = (n: number): string => `00000000-0000-7000-8000-${String(n).padStart(12, '0')}`;
const T0 = 1_800_000_000_000;
const at = (ms: number): Date => new Date(T0 + ms);
const [CALL, OTHER_CALL, DOMAIN] = [id(1), id(2), id(9)];
const ONE = { id: id(101), name: 'one', core_uuid: 'core-one' };
const TWO = { id: id(102), name: 'two', core_uuid: 'core-two' };
/** The leg that carries the call, two that it leads to, and one on its way to another node. */
const [FROM, TO, SECOND, TRANSIT, FAR] = [id(11), id(12), id(13), id(14), id(15)];

const CONTEXT: CallContext = { nowMs: T0 + 10_000, phones: new Map(), handedOver: new Set([`${CALL} ${TWO.id}`]) };

const call: CallRow = {
  ...{ id: CALL, domain_id: DOMAIN, domain_name: 'clinic.test', node_name: 'one', origin: 'api' },
  ...{ from_address: 'user:ann', to_address: 'user:bob', caller_name: '', state: 'placing', outcome: null },
  ...{ node_id: ONE.id, hangup_cause: null, units: '1', ring_timeout_seconds: 30, place_before: at(30_000) },
  ...{ hangup_requested_at: null, hangup_reason: null, queued_at: at(0), placing_at: at(1), ringing_at: null },
  ...{ answered_at: null, ended_at: null, talk_seconds: null, joined_into: null, adopted_at: null, metadata: {} },
};
const attempt: AttemptRow = {
  ...{ call_id: CALL, number: 1, node_id: ONE.id, node_name: 'one', node_core_uuid: 'core-one', leg_id: FROM },
  ...{ first_leg_id: null, placed_at: at(1), rang_at: null, ended_at: null, result: null, hangup_cause: null },
};
const leg = (change: Partial<LegRow>): LegRow => ({
  ...{ id: FROM, call_id: CALL, node_id: ONE.id, role: 'from', address: 'user:ann', state: 'placing' },
  ...{ created_at: at(1), ringing_at: null, answered_at: null, ended_at: null, hangup_cause: null, held_since: null },
  ...change,
});
const placed: LoadedCalls = { calls: [call], legs: [leg({})], attempts: [attempt] };

const channel = (
  phase: ChannelPhase,
  legId: string,
  ms: number,
  change: Partial<ChannelFact['event']> = {},
  node = ONE,
): ChannelFact => ({
  kind: 'channel',
  node,
  event: {
    ...{ type: 'channel', phase, legId, callId: CALL, direction: 'outbound', channelName: '', callerNumber: '' },
    ...{ callerName: '', destination: '', atMs: T0 + ms, ...change },
  },
});

/** The rows as they are once the changes are written. */
function written(loaded: LoadedCalls, { changes }: ReducedCalls): LoadedCalls {
  const strip = <T extends object>(row: T): T => {
    const { was: _was, was_leg_id: _leg, was_core: _core, ...rest } = row as T & Record<string, unknown>;
    return rest as T;
  };
  const calls = new Map<string, CallRow>(changes.calls.map((row) => [row.id, strip(row)]));
  const legs = new Map<string, LegRow>(changes.legs.map((row) => [row.id, strip(row)]));
  const attempts = new Map<string, AttemptRow>(
    changes.attempts.map((row) => [`${row.call_id} ${row.number}`, strip(row)]),
  );
  return {
    calls: loaded.calls.map((row) => calls.get(row.id) ?? row),
    legs: [...loaded.legs.map((row) => legs.get(row.id) ?? row), ...changes.newLegs],
    attempts: loaded.attempts.map((row) => attempts.get(`${row.call_id} ${row.number}`) ?? row),
  };
}

/** As batches of these sizes. */
function run(loaded: LoadedCalls, batches: readonly (readonly CallFact[])[], context = CONTEXT) {
  let rows = loaded;
  const events: ReducedCalls['events'] = [];
  const released: ReducedCalls['released'] = [];
  for (const facts of batches) {
    const reduced = reduceCalls(rows, facts, context);
    rows = written(rows, reduced);
    events.push(...reduced.events);
    released.push(...reduced.released);
  }
  return { rows, events, released, call: rows.calls[0]! };
}
const runAll = (facts: readonly CallFact[], context = CONTEXT) => run(placed, [facts], context);

const msOf = fc.integer({ min: 5, max: 4000 });
const causeOf = fc.constantFrom(
  ...['NORMAL_CLEARING', 'USER_BUSY', 'NO_ANSWER', 'ORIGINATOR_CANCEL', 'NORMAL_TEMPORARY_FAILURE', 'LOSE_RACE'],
  ...['MEDIA_TIMEOUT', 'NODE_DIED', 'NODE_UNKNOWN'],
);
const channelFact = fc
  .record({
    phase: fc.constantFrom<ChannelPhase>(
      ...(['created', 'progress', 'progress_media', 'answered', 'bridged', 'unbridged'] as const),
      ...(['hangup', 'destroyed', 'held', 'unheld'] as const),
    ),
    of: fc.constantFrom(
      ...[
        { legId: FROM, node: ONE },
        { legId: TO, node: ONE },
        { legId: SECOND, node: ONE },
      ],
      ...[
        { legId: TRANSIT, node: ONE, profile: 'internode' },
        { legId: FAR, node: TWO },
      ],
      { legId: FROM, node: TWO }, // it is not that node's
    ),
    ms: msOf,
    hangupCause: causeOf,
    registrationId: fc.constantFrom(undefined, id(77)),
  })
  .map(({ phase, of: { legId, node, ...profile }, ms, hangupCause, registrationId }) =>
    channel(phase, legId, ms, { ...profile, hangupCause, registrationId, otherLegId: TO }, node),
  );
const recordFact: fc.Arbitrary<RecordFact> = fc
  .record({ legId: fc.constantFrom(FROM, TO), cause: causeOf, ms: msOf, wasInRoom: fc.boolean() })
  .map(({ legId, cause, ms, wasInRoom }) => ({
    ...{ kind: 'record', node: ONE, legId, callId: CALL, cause, partnerCause: undefined, wasInRoom },
    ...{ ringingMs: T0 + ms, answeredMs: T0 + ms, bridgedMs: null, endedMs: T0 + ms },
  }));
const otherFact: fc.Arbitrary<CallFact> = fc.oneof(
  fc
    .record({ cause: causeOf, ms: msOf, legId: fc.constantFrom(FROM, TO) })
    .map(({ cause, ms, legId }) => ({ kind: 'attempt_over' as const, callId: CALL, legId, cause, at: at(ms) })),
  fc
    .record({ ms: msOf, legId: fc.constantFrom(FROM, TO, FAR) })
    .map(({ ms, legId }) => ({ kind: 'leg_missing' as const, callId: CALL, legId, at: at(ms) })),
  fc.constant({ kind: 'talk_over' as const, callId: CALL }),
  msOf.map((ms) => ({ kind: 'entered' as const, callId: CALL, at: at(ms) })),
  msOf.map((ms) => ({ kind: 'hangup_asked' as const, callId: CALL, at: at(ms) })),
  msOf.map((ms) => ({ kind: 'never_placed' as const, callId: CALL, outcome: 'cancelled' as const, at: at(ms) })),
  fc.constant({ kind: 'unheld' as const, callId: CALL, legId: TO }),
  fc.constantFrom(FROM, TO).map((legId) => ({ kind: 'picked_up' as const, callId: CALL, nodeId: ONE.id, legId })),
  fc.constant({ kind: 'redirected' as const, callId: CALL, to: 'user:cleo', legId: TO }),
);
const anyFact: fc.Arbitrary<CallFact> = fc.oneof(
  { weight: 6, arbitrary: channelFact },
  { weight: 2, arbitrary: otherFact },
  { weight: 1, arbitrary: recordFact },
);
const facts = fc.array(anyFact, { maxLength: 30 });

describe('whatever is reported of a call', () => {
  test('the same fact twice changes nothing', () => {
    fc.assert(
      fc.property(facts, anyFact, (before, fact) => {
        const once = run(placed, [before, [fact]]);
        const again = run(once.rows, [[fact]]);
        expect(again.rows).toEqual(once.rows);
        expect(again.events).toEqual([]);
        expect(again.released).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  test('how it is cut into batches does not matter', () => {
    fc.assert(
      fc.property(facts, fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 5 }), (all, cuts) => {
        const ends = [...cuts.filter((cut) => cut < all.length).sort((a, b) => a - b), all.length];
        const batches = ends.map((end, i) => all.slice(i === 0 ? 0 : ends[i - 1], end));
        expect(run(placed, batches)).toEqual(run(placed, [all]));
      }),
      { numRuns: 300 },
    );
  });

  test('it ends once, with its legs, and says each thing once', () => {
    fc.assert(
      fc.property(facts, (all) => {
        const { rows, events, call: now } = runAll(all);
        const said = events.map(({ type, data }) => `${type} ${type.startsWith('call.leg') ? String(data.leg) : ''}`);
        const once = said.filter((what) => !/^call\.(held|unheld|corrected|transferred) /.test(what));
        expect(new Set(once).size).toBe(once.length);
        expect(said.filter((what) => what === 'call.ended ')).toHaveLength(now.state === 'ended' ? 1 : 0);
        expect((now.state === 'ended') === (now.outcome !== null)).toBe(true);
        if (now.state !== 'ended') return;
        expect(rows.legs.filter(({ state }) => state !== 'ended')).toEqual([]);
        expect(now.ended_at! >= now.queued_at).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test('the rows that were read are left as they were', () => {
    fc.assert(
      fc.property(facts, (all) => {
        const read = structuredClone(placed);
        reduceCalls(read, all, CONTEXT);
        expect(read).toEqual(placed);
      }),
    );
  });

  test('a call that is over is never moved again, only corrected where it was lost', () => {
    fc.assert(
      fc.property(facts, facts, (before, after) => {
        const first = runAll(before);
        if (first.call.state !== 'ended') return;
        const { call: now, events } = run(first.rows, [after]);
        expect(now.state).toBe('ended');
        expect(events.every(({ type }) => type === 'call.corrected')).toBe(true);
        if (first.call.outcome !== 'lost') expect(now.outcome).toBe(first.call.outcome);
      }),
      { numRuns: 300 },
    );
  });
});

/** All orders in which two nodes' reports can come, each node's own in its order. */
const interleaved = <T>(one: readonly T[], two: readonly T[]): fc.Arbitrary<T[]> =>
  fc.array(fc.boolean(), { minLength: one.length + two.length, maxLength: one.length + two.length }).map((turns) => {
    const [a, b] = [[...one], [...two]];
    return turns.map((isOnes) => ((isOnes && a.length > 0) || b.length === 0 ? a.shift()! : b.shift()!));
  });

describe('a call over two nodes', () => {
  const beginning = [
    channel('created', FROM, 10),
    channel('progress', FROM, 20),
    channel('answered', FROM, 30),
    channel('created', TRANSIT, 40, { profile: 'internode' }),
    channel('answered', TRANSIT, 60, { profile: 'internode' }),
  ];
  const far = [
    channel('created', FAR, 45, { legRole: 'to' }, TWO),
    channel('progress', FAR, 50, {}, TWO),
    channel('answered', FAR, 60, {}, TWO),
  ];
  const cause = { hangupCause: 'NORMAL_CLEARING' };
  const end = [channel('hangup', TRANSIT, 1000, cause), channel('hangup', FROM, 1001, cause)];
  const farEnd = [channel('hangup', FAR, 999, cause, TWO), channel('destroyed', FAR, 1000, cause, TWO)];

  test('ends in the same way in whatever order its nodes are heard', () => {
    fc.assert(
      fc.property(interleaved(beginning, far), interleaved(end, farEnd), (first, second) => {
        const talking = runAll(first);
        expect(talking.call).toMatchObject({ state: 'answered', answered_at: at(60) });
        expect(talking.rows.legs.map(({ state }) => state)).toEqual(['answered', 'answered', 'answered']);
        const over = run(talking.rows, [second]);
        expect(over.call).toMatchObject({ state: 'ended', outcome: 'answered', hangup_cause: 'NORMAL_CLEARING' });
        expect(over.released).toEqual([{ nodeId: ONE.id, callId: CALL }]);
      }),
    );
  });
});

describe('a reconciler never ends a conversation', () => {
  const talking = [channel('answered', FROM, 20), channel('created', TO, 30), channel('answered', TO, 40)];

  test('a carrying leg that is missing ends nothing while another of the call talks at its node', () => {
    const { call: now } = runAll([...talking, { kind: 'leg_missing', callId: CALL, legId: FROM, at: at(5000) }]);
    expect(now.state).toBe('answered');
  });
  test('with both legs missing the call is lost', () => {
    const missing = [FROM, TO].map((legId) => ({ kind: 'leg_missing' as const, callId: CALL, legId, at: at(5000) }));
    expect(runAll([...talking, ...missing]).call).toMatchObject({ state: 'ended', outcome: 'lost' });
  });
});

test('a phone that is busy ends nothing while the caller has another one', () => {
  const busy = channel('hangup', FROM, 30, { hangupCause: 'USER_BUSY', registrationId: id(77) });
  const phones = (count: number) =>
    new Map([[CALL, Array.from({ length: count }, () => ({ nodeId: ONE.id, isDead: false }))]]);
  expect(runAll([busy], { ...CONTEXT, phones: phones(2) }).call.state).toBe('placing');
  expect(runAll([busy], { ...CONTEXT, phones: phones(1) }).call).toMatchObject({ state: 'ended', outcome: 'busy' });
});

test('a phone that is busy does not end what another phone of the caller has answered', () => {
  const rows: LoadedCalls = { ...placed, calls: [{ ...call, to_address: '9196' }] };
  const answered = channel('answered', SECOND, 40, { legRole: 'from' });
  const late = {
    kind: 'record',
    node: ONE,
    legId: FROM,
    callId: CALL,
    partnerCause: undefined,
    wasInRoom: false,
  } as const;
  const times = { ringingMs: null, answeredMs: null, bridgedMs: null, endedMs: T0 + 30 };
  const talking = run(rows, [[answered, { ...late, ...times, cause: 'USER_BUSY' }]]);
  expect(talking.call.state).toBe('answered');
  const over = run(talking.rows, [[channel('hangup', SECOND, 900, { hangupCause: 'NORMAL_CLEARING' })]]);
  expect(over.call).toMatchObject({ state: 'ended', outcome: 'answered', hangup_cause: 'NORMAL_CLEARING' });
});

test('a call whose node died before anybody answered goes back to the queue, and its other legs are told by the next attempt', () => {
  const died: CallFact = { kind: 'attempt_over', callId: CALL, legId: FROM, cause: 'NODE_DIED', at: at(500) };
  const { call: now, events, released } = runAll([channel('progress', FROM, 20), died]);
  expect(now).toMatchObject({ state: 'queued', node_id: null, outcome: null });
  expect(events.map(({ type }) => type)).toEqual(['call.ringing', 'call.retrying']);
  expect(released).toEqual([{ nodeId: ONE.id, callId: CALL }]);
});

test('two calls whose far ends are bridged become the older one, and the younger ends into it', () => {
  const second: CallRow = {
    ...call,
    id: OTHER_CALL,
    state: 'answered',
    answered_at: at(100),
    from_address: 'user:ann',
  };
  const [heldTwo, farTwo] = [id(21), id(22)];
  const rows: LoadedCalls = {
    calls: [{ ...call, state: 'answered', answered_at: at(50) }, second],
    legs: [
      ...[leg({ state: 'answered', answered_at: at(40) }), leg({ id: TO, role: 'to', state: 'answered' })],
      leg({ id: heldTwo, call_id: OTHER_CALL, state: 'answered' }),
      leg({ id: farTwo, call_id: OTHER_CALL, role: 'to', state: 'answered' }),
    ],
    attempts: [attempt, { ...attempt, call_id: OTHER_CALL, leg_id: heldTwo }],
  };
  const bridged: CallFact = { kind: 'bridged', node: ONE, legId: farTwo, otherLegId: TO, atMs: T0 + 2000 };
  const { rows: after, events, released } = run(rows, [[bridged, bridged]]);
  expect(after.calls).toMatchObject([
    { id: CALL, state: 'answered' },
    { id: OTHER_CALL, state: 'ended', outcome: 'answered', joined_into: CALL },
  ]);
  expect(after.legs.map(({ id: legId, call_id, state }) => [legId, call_id, state])).toEqual([
    [FROM, CALL, 'answered'],
    [TO, CALL, 'answered'],
    [heldTwo, OTHER_CALL, 'ended'],
    [farTwo, CALL, 'answered'],
  ]);
  expect(after.attempts.map(({ leg_id, ended_at }) => [leg_id, ended_at !== null])).toEqual([
    [TO, false],
    [heldTwo, true],
  ]);
  expect(events.map(({ type, callId }) => [type, callId])).toEqual([
    ['call.ended', OTHER_CALL],
    ['call.joined', CALL],
  ]);
  expect(released).toEqual([{ nodeId: ONE.id, callId: OTHER_CALL }]);
});

test('a node is not believed of a leg that another has, nor of a call that it has nothing to do with', () => {
  const stranger = { id: id(103), name: 'three', core_uuid: '' };
  const { changes, refusals } = reduceCalls(
    placed,
    [channel('hangup', FROM, 50, {}, stranger), channel('created', SECOND, 50, {}, stranger)],
    CONTEXT,
  );
  expect(changes).toEqual({ calls: [], newLegs: [], legs: [], attempts: [] });
  expect(refusals.map(({ about }) => about)).toEqual(['leg', 'new_leg']);
});
