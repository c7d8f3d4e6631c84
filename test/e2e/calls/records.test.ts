/** A node's records settle a call once, however often and in whatever order they come. */
import { randomUUID } from 'node:crypto';
import { createId } from '../../../src/infra/ids';
import { useStores } from '../../stores';
import { DOMAIN, startApp, until, type Node, type App } from '../harness';

let app: App;
afterAll(() => app?.close());
const stores = useStores();
let node: Node;

beforeAll(async () => {
  app = await startApp(stores);
  node = await app.addNode('one');
  await app.addPhone(node, 'ann', { answerAfterMs: 20 });
  await app.addPhone(node, 'bob', { answerAfterMs: 20, hangupAfterMs: 300 });
});

const us = (date: string, plusMs = 0): string => String((Date.parse(date) + plusMs) * 1000);
const recordOf = (uuid: string, variables: Record<string, string>): string =>
  JSON.stringify({ 'core-uuid': randomUUID(), variables: { uuid, ...variables } });

/** Calls began so long ago: a record tells of what was, not of what will be. */
const AGO_MS = 60_000;
const startOf = (): string => new Date(Date.now() - AGO_MS).toISOString();

/** A call as it is written down before anything is dialled, by a process that is gone since. */
async function writeCall(o: { outcome?: string; answeredAt?: Date; ended?: boolean; attempts?: number }) {
  const domain = (await stores.db('domains').where({ name: DOMAIN }).first('id')) as { id: string };
  const [id, now] = [createId(), new Date()];
  const queued = new Date(now.getTime() - AGO_MS);
  const legs = Array.from({ length: o.attempts ?? 1 }, () => randomUUID());
  await stores.db('calls').insert({
    id,
    domain_id: domain.id,
    origin: 'api',
    from_address: 'user:ann',
    to_address: 'user:bob',
    state: o.ended ? 'ended' : 'ringing',
    outcome: o.ended ? (o.outcome ?? 'lost') : null,
    hangup_cause: o.ended ? 'NODE_UNKNOWN' : null,
    node_id: node.id,
    units: '1',
    place_before: now,
    queued_at: queued,
    answered_at: o.answeredAt ?? null,
    ended_at: o.ended ? now : null,
  });
  for (const [at, leg] of legs.entries()) {
    const over = o.ended || at < legs.length - 1;
    await stores.db('legs').insert({ id: leg, call_id: id, node_id: node.id, role: 'from', state: 'placing' });
    await stores.db('call_attempts').insert({
      call_id: id,
      number: at + 1,
      node_id: node.id,
      node_name: node.name,
      leg_id: leg,
      placed_at: now,
      ended_at: over ? now : null,
      result: over ? 'lost' : null,
    });
  }
  return { id, legs };
}

test('records sent three times, the last leg first, change the call once', async () => {
  const { id } = await app.call('user:ann', 'user:bob');
  const ended = await app.callIs(id, 'ended');
  expect(ended.outcome).toBe('answered');
  const kept = await until('both records came', async () => {
    const rows = (await stores.db('cdrs').where({ call_id: id })) as { leg_id: string; record: object }[];
    return rows.length === 2 ? rows : undefined;
  });
  await until('all channels are gone, and told', async () => {
    return node.channelCount === 0 && (await app.readCall(id)).legs.every((leg) => leg.state === 'ended');
  });
  const before = await app.readCall(id);
  const count = (await app.eventsOf(id)).length;
  for (const row of [...kept, ...kept, ...kept].reverse()) {
    expect(await app.sendCdr(node, JSON.stringify(row.record))).toEqual({ status: 200, text: 'known\n' });
  }
  const form = `cdr=${encodeURIComponent(JSON.stringify(kept[0]!.record))}`;
  const again = await app.sendCdr(node, form, 'application/x-www-form-urlencoded');
  expect(again).toEqual({ status: 200, text: 'known\n' });
  expect(await app.readCall(id)).toEqual(before);
  expect(await app.eventsOf(id)).toHaveLength(count);
});

test('the same record ten times at once ends a call whose end nobody saw, once', async () => {
  const { id, legs } = await writeCall({});
  const start = startOf();
  const record = recordOf(legs[0]!, {
    switchyard_call_id: id,
    hangup_cause: 'USER_BUSY',
    answer_uepoch: '0',
    end_uepoch: us(start, 2000),
  });
  const answers = await Promise.all(Array.from({ length: 10 }, () => app.sendCdr(node, record)));
  expect(answers.map((a) => a.status)).toEqual(Array(10).fill(200));
  expect(await app.readCall(id)).toMatchObject({ state: 'ended', outcome: 'busy', hangupCause: 'USER_BUSY' });
  expect(await app.eventsOf(id)).toEqual(['call.ended']);
});

test('a record tells of an answer and an end that no event has told', async () => {
  const { id, legs } = await writeCall({});
  const start = startOf();
  const times = { answer_uepoch: us(start, 1000), bridge_uepoch: us(start, 3000), end_uepoch: us(start, 10_500) };
  await app.sendCdr(node, recordOf(legs[0]!, { hangup_cause: 'NORMAL_CLEARING', ...times }));
  expect(await app.readCall(id)).toMatchObject({ outcome: 'answered', talkSeconds: 7.5 });
  expect(await app.eventsOf(id)).toEqual(['call.answered', 'call.ended']);
});

test('a call that was given up as lost is put right by its record', async () => {
  const start = startOf();
  const answered = await writeCall({ ended: true, answeredAt: new Date(start) });
  const record = recordOf(answered.legs[0]!, { hangup_cause: 'NORMAL_CLEARING', end_uepoch: us(start, 12_300) });
  expect((await app.sendCdr(node, record)).text).toBe('kept\n');
  expect((await app.sendCdr(node, record)).text).toBe('known\n');
  expect(await app.readCall(answered.id)).toMatchObject({
    outcome: 'answered',
    hangupCause: 'NORMAL_CLEARING',
    talkSeconds: 12.3,
    endedAt: new Date(Date.parse(start) + 12_300).toISOString(),
  });
  expect(await app.eventsOf(answered.id)).toEqual(['call.corrected']);
  const rang = await writeCall({ ended: true });
  await app.sendCdr(node, recordOf(rang.legs[0]!, { hangup_cause: 'NO_ANSWER', end_uepoch: us(start) }));
  expect(await app.readCall(rang.id)).toMatchObject({ outcome: 'no_answer', talkSeconds: null });
});

test('the late record of a node that refused says nothing of what the next one did', async () => {
  const start = startOf();
  const { id, legs } = await writeCall({ ended: true, outcome: 'answered', answeredAt: new Date(start), attempts: 2 });
  const { legs: _legs, ...before } = await app.readCall(id);
  const late = recordOf(legs[0]!, { hangup_cause: 'NORMAL_TEMPORARY_FAILURE', end_uepoch: us(start, 100) });
  expect((await app.sendCdr(node, late)).text).toBe('kept\n');
  expect(await app.readCall(id)).toMatchObject(before);
});

test.each([
  ['no JSON', 'cdr='],
  ['an empty object', '{}'],
  ['a list', '{"variables":[]}'],
  ['no id of a leg', '{"variables":{"uuid":"x"}}'],
  ['half a record', '{"variables":{"uuid":"'],
])('%s is taken from the node, so that it stops sending it, and logged', async (_what, body) => {
  app.lines.length = 0;
  expect(await app.sendCdr(node, body)).toEqual({ status: 200, text: 'malformed\n' });
  expect(app.lines.join('')).toContain('a call record could not be read');
});

test('what no database can hold is kept without it', async () => {
  const uuid = randomUUID();
  const record = `{"variables":{"uuid":"${uuid}","name":"a\\u0000b \\ud800 \\\\u0000 😀","end_uepoch":"1e300","hangup_cause":"\\u0000"}}`;
  expect(await app.sendCdr(node, record)).toEqual({ status: 200, text: 'kept\n' });
  const row = (await stores.db('cdrs').where({ leg_id: uuid }).first()) as { record: { variables: { name: string } } };
  expect(row.record.variables.name).toBe('a\ufffdb \ufffd \\u0000 😀');
});
