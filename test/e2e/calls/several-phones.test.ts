/** Somebody with several phones is called like anybody: all ring, whichever is picked up goes on, the others say nothing of it. */
import { findLastAttempt, insertAttempt, insertCall, insertLeg } from '../../../src/domains/calls/calls.store';
import { writeFacts } from '../../../src/domains/calls/events/move-calls';
import { createEventLog } from '../../../src/domains/events/events';
import { createDb } from '../../../src/infra/stores/db';
import { createId } from '../../../src/infra/ids';
import { createLogger } from '../../../src/infra/logger';
import type { PhoneBehaviour } from '../../../scripts/simulator/phones/phone-behaviour';
import { useStores } from '../../stores';
import { DOMAIN, startApp, until, type Node, type App } from '../harness';

let app: App;
afterAll(() => app?.close());
const stores = useStores();
let one: Node;
let two: Node;
let names = 0;

beforeAll(async () => {
  app = await startApp(stores);
  one = await app.addNode('one');
  two = await app.addNode('two');
  await app.addPhone(two, 'bob', { answerAfterMs: 30 });
  await app.addPhone(two, 'silent', { ringOnly: true });
});

const nothingIsLeft = (): Promise<boolean> =>
  until('no channel is left', () => one.channelCount + two.channelCount === 0);

/** @returns the address of somebody with a phone for each behaviour, on these nodes */
async function withPhones(...phones: [() => Node, PhoneBehaviour][]): Promise<string> {
  const name = `ann-${(names += 1)}`;
  for (const [node, behaviour] of phones) await app.addPhone(node(), name, behaviour);
  return `user:${name}`;
}

const picksUp: PhoneBehaviour = { answerAfterMs: 200 };
const ringsOnly: PhoneBehaviour = { ringOnly: true };

describe.each([
  ['one node', () => one, () => one],
  ['two nodes', () => one, () => two],
  ['two nodes, the other first', () => two, () => one],
])('with phones at %s', (_where, first, second) => {
  test.each([
    ['the first is picked up', picksUp, ringsOnly],
    ['the second is picked up', ringsOnly, picksUp],
    ['both are picked up at once', picksUp, picksUp],
    ['the first is busy', { busy: true }, picksUp],
    ['the second is busy', picksUp, { busy: true }],
  ])('a call from them is connected when %s', async (_how, a, b) => {
    const { id } = await app.call(await withPhones([first, a], [second, b]), 'user:bob');
    const answered = await app.callIs(id, 'answered');
    expect(answered.attempts).toHaveLength(1);
    const winningLeg = answered.legs.find((leg) => leg.id === answered.attempts[0]!.leg);
    expect(winningLeg).toMatchObject({ state: 'answered', endedAt: null });
    await app.must(200, 'POST', `/v1/calls/${id}/dtmf`, { digits: '1' }); // to the phone that was picked up
    await app.hangUp(id);
    expect(await app.callIs(id, 'ended')).toMatchObject({ outcome: 'answered', hangupCause: 'NORMAL_CLEARING' });
    await nothingIsLeft();
  });

  test('a call that is hung up while they ring stops ringing at both', async () => {
    const { id } = await app.call(await withPhones([first, ringsOnly], [second, ringsOnly]), 'user:bob');
    await until('both ring', () => one.channelCount + two.channelCount >= 2);
    await app.callIs(id, 'ringing');
    await app.hangUp(id);
    expect(await app.callIs(id, 'ended')).toMatchObject({ outcome: 'cancelled', hangupCause: 'ORIGINATOR_CANCEL' });
    await nothingIsLeft();
  });

  test('a call whose caller hangs up while the other rings ends as cancelled', async () => {
    const gives = { answerAfterMs: 100, hangupAfterMs: 700 };
    const { id } = await app.call(await withPhones([first, ringsOnly], [second, gives]), 'user:silent');
    expect(await app.callIs(id, 'ended')).toMatchObject({ outcome: 'cancelled', talkSeconds: null });
    await nothingIsLeft();
  });
});

test('a phone that is busy at once does not end the call before the others are known to ring', async () => {
  const quick = { answerAfterMs: 20 };
  const from = await withPhones([() => one, { busy: true }], [() => one, quick], [() => one, { busy: true }]);
  const asked = await Promise.all(Array.from({ length: 20 }, () => app.call(from, '9196')));
  const answered = await Promise.all(asked.map(({ id }) => app.callIs(id, 'answered')));
  expect(answered).toHaveLength(20);
  await Promise.all(asked.map(({ id }) => app.hangUp(id)));
  for (const { id } of asked) expect((await app.callIs(id, 'ended')).outcome).toBe('answered');
  await nothingIsLeft();
});

const busyEvent = {
  ...{ type: 'channel' as const, phase: 'hangup' as const, hangupCause: 'USER_BUSY', direction: 'outbound' as const },
  ...{ channelName: '', callerName: '', callerNumber: '', destination: '' },
};

test.each([
  ['several phones', 2, true],
  ['one phone', 1, false],
])(
  'that a phone of somebody with %s is busy tells of all of them only where it is the only one',
  async (_who, phones, isCarried) => {
    const from = await withPhones(
      ...Array.from({ length: phones }, (): [() => Node, PhoneBehaviour] => [() => one, {}]),
    );
    const domain = await app.must(200, 'GET', `/v1/domains/${DOMAIN}`);
    const db = createDb(stores.databaseUrl, 2);
    try {
      const [id, leg, at] = [createId(), createId(), new Date()];
      const ends = {
        from_address: from,
        to_address: 'user:bob',
        domain_id: domain.id,
        node_id: one.id,
        origin: 'api' as const,
      };
      const times = { queued_at: at, placing_at: at, place_before: at };
      await insertCall(db, { id, ...ends, ...times, state: 'placing', units: '1', ring_timeout_seconds: 30 });
      await insertAttempt(db, {
        call_id: id,
        number: 1,
        placed_at: at,
        leg_id: leg,
        node_id: one.id,
        node_name: 'one',
      });
      const started = { call_id: id, role: 'from' as const, address: from, created_at: at, node_id: one.id };
      await insertLeg(db, { id: leg, ...started, state: 'placing' });
      const log = createEventLog(db, { ring: () => undefined }, createLogger('silent'));
      const node = { id: one.id, name: 'one', core_uuid: null };
      const event = { ...busyEvent, legId: leg, callId: id, atMs: at.getTime() };
      await log.record((trx, emit) => writeFacts({}, trx, emit, [{ kind: 'channel', node, event }]));
      const attempt = (await findLastAttempt(db, id))!;
      expect(attempt.ended_at === null).toBe(isCarried); // no leg of another is known yet
    } finally {
      await db.destroy();
    }
  },
);

test('when none of them is free the call ends with what they said', async () => {
  const from = await withPhones([() => one, { busy: true }], [() => one, { busy: true }]);
  const { id } = await app.call(from, 'user:bob');
  expect(await app.callIs(id, 'ended')).toMatchObject({ outcome: 'busy', hangupCause: 'USER_BUSY' });
  await nothingIsLeft();
});
