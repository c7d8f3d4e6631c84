import { WebSocket } from 'ws';
import { trimOldEvents } from '../../../src/domains/events/retention';
import { createId } from '../../../src/infra/ids';
import { useStores } from '../../stores';
import { until } from '../../until';
import { ADMIN_KEY, startApi, type TestApi } from '../../http/start-api';

const stores = useStores();
let api: TestApi;
let other: TestApi;

beforeAll(async () => {
  api = await startApi(stores, { heartbeatMs: 200 });
  // Its memory of a key never ends by itself, and no stream of its is looked after: only by being told.
  other = await startApi(stores, { keyClock: () => 0, heartbeatMs: 3_600_000 });
});
afterAll(async () => {
  await api.close();
  await other.close();
});

interface Told {
  id: number;
  event: string;
  data: Record<string, unknown>;
}

/** Opens a stream and gathers what it tells until `done` says so. */
async function listen(at: TestApi, path: string, headers: Record<string, string> = {}) {
  const gone = new AbortController();
  const told: Told[] = [];
  const response = await fetch(at.url + path, {
    headers: { authorization: `Bearer ${ADMIN_KEY}`, ...headers },
    signal: gone.signal,
  });
  let raw = '';
  let ended = false;
  const reading = (async () => {
    const decoder = new TextDecoder();
    let rest = '';
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      const text = decoder.decode(chunk, { stream: true });
      raw += text;
      const blocks = (rest + text).split('\n\n');
      rest = blocks.pop()!;
      for (const block of blocks) {
        const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1];
        const data = field('data');
        if (data) told.push({ id: Number(field('id')), event: field('event')!, data: JSON.parse(data) });
      }
    }
  })()
    .catch(() => undefined)
    .finally(() => (ended = true));
  return {
    response,
    told,
    raw: () => raw,
    ended: () => ended,
    async until(done: (told: Told[]) => boolean): Promise<void> {
      await until(
        () => `it is told, behind ${told.length} others`,
        () => done(told),
        60_000,
      );
    },
    async close() {
      gone.abort();
      await reading;
    },
  };
}

const write = (at: TestApi, stream: string, type = 'test.written', data: Record<string, unknown> = {}) =>
  at.events.record(async (_trx, emit) => emit({ stream, type, data }));

/** A domain of its own for each test. */
async function makeDomain(): Promise<{ id: string; name: string }> {
  const name = `d${createId().slice(-12)}.test`;
  return (await api.call('POST', '/v1/domains', { name })).body as { id: string; name: string };
}

test('an event reader that was away for 1,000 events gets each once, in order, with 20 writers at work', async () => {
  const domain = await makeDomain();
  const first = await listen(api, `/v1/events?domain=${domain.name}&since=0`);
  await first.until((told) => told.length === 1);
  await first.close();
  const since = first.told.at(-1)!.id;

  let next = 0;
  const written: number[] = [];
  const writer = async (w: number, end: number) => {
    while (next < end) {
      const value = next++;
      const at = w % 2 ? api : other;
      await at.events
        .record(async (trx, emit) => {
          emit({ stream: domain.id, type: 'test.written', data: { value } });
          // Transactions that take unlike times would commit out of order if numbers came from a sequence.
          if (value % 7 === 0) await trx.raw('select pg_sleep(0.01)');
          if (value % 50 === 0) throw new Error('rolled back');
        })
        .then(
          () => written.push(value),
          () => undefined,
        );
    }
  };
  const writers = (end: number) => Promise.all(Array.from({ length: 20 }, (_, w) => writer(w, end)));
  await writers(1020);
  const more = writers(1520); // they go on while the reader catches up
  const back = await listen(api, `/v1/events?domain=${domain.name}`, { 'last-event-id': String(since) });
  await more;
  const expected = written.length;
  expect(expected).toBeGreaterThan(1000);
  await back.until((told) => told.length >= expected);
  await new Promise((resolve) => setTimeout(resolve, 100));
  await back.close();
  expect(back.told).toHaveLength(expected);
  expect(back.told.map((t) => t.id)).toEqual(Array.from({ length: expected }, (_, i) => since + 1 + i));
  const byNumber = (a: number, b: number) => a - b;
  const values = back.told.map((t) => (t.data.data as { value: number }).value);
  expect(values.sort(byNumber)).toEqual(written.sort(byNumber));
});

test('a transaction that began first and commits last takes the later number: nothing is skipped', async () => {
  const domain = await makeDomain();
  const stream = await listen(api, `/v1/events?domain=${domain.name}`);
  let begun = (): void => undefined;
  const hasBegun = new Promise<void>((resolve) => (begun = resolve));
  let goOn = (): void => undefined;
  const mayGoOn = new Promise<void>((resolve) => (goOn = resolve));
  const slow = api.events.record(async (trx, emit) => {
    emit({ stream: domain.id, type: 'test.slow', data: {} });
    await trx.raw('select 1');
    begun();
    await mayGoOn;
  });
  await hasBegun;
  await write(other, domain.id, 'test.fast').finally(goOn);
  await slow;
  await stream.until((told) => told.length === 2);
  await stream.close();
  expect(stream.told.map((t) => t.event)).toEqual(['test.fast', 'test.slow']);
  expect(stream.told[1]!.id).toBe(stream.told[0]!.id + 1);
});

test('an event written at another replica is told by that one, and not found by looking', async () => {
  const domain = await makeDomain();
  // How soon depends on the machine; by looking alone it would come after an hour.
  const patient = await startApi(stores, { pollMs: 3_600_000 });
  const stream = await listen(patient, `/v1/events?domain=${domain.name}`);
  for (let i = 1; i <= 12; i += 1) {
    await write(other, domain.id);
    await stream.until((told) => told.length === i);
  }
  await stream.close();
  await patient.close();
});

test('numbers that were trimmed are told as a gap, before what is left', async () => {
  const domain = await makeDomain();
  for (let i = 0; i < 5; i += 1) await write(api, domain.id);
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(await trimOldEvents(api.db, new Date())).toBeGreaterThanOrEqual(6);
  await write(api, domain.id, 'test.left');
  const stream = await listen(api, `/v1/events?domain=${domain.name}&since=2&types=test.*`);
  await stream.until((told) => told.length === 2);
  await stream.close();
  expect(stream.told[0]).toMatchObject({ id: 6, event: 'gap', data: { from: 3, to: 6 } });
  expect(stream.told[1]).toMatchObject({ id: 7, event: 'test.left' });
  const page = await api.call('GET', `/v1/events?format=json&domain=${domain.name}&since=2`);
  expect(page.body).toMatchObject({ gap: { from: 3, to: 6 }, nextSince: 7 });
  await trimOldEvents(api.db, new Date(Date.now() + 1000));
  const empty = await listen(api, `/v1/events?domain=${domain.name}&since=2`);
  await empty.until((told) => told.length === 1);
  await empty.close();
  expect(empty.told[0]).toMatchObject({ event: 'gap', data: { from: 3, to: 7 } });
});

test('filters choose by type, call and user; a page is followed by the next', async () => {
  const domain = await makeDomain();
  const callId = createId();
  const userId = createId();
  await api.events.record(async (_trx, emit) => {
    emit({ stream: domain.id, type: 'call.ringing', callId, data: {} });
    emit({ stream: domain.id, type: 'call.ended', callId, userId, data: {} });
    emit({ stream: domain.id, type: 'registration.started', userId, data: {} });
  });
  const types = async (query: string) =>
    (await api.call('GET', `/v1/events?format=json&domain=${domain.id}&${query}`)).body.items.map(
      (e: { type: string }) => e.type,
    );
  expect(await types('types=call.*')).toEqual(['call.ringing', 'call.ended']);
  expect(await types('types=call.ended,registration.*')).toEqual(['call.ended', 'registration.started']);
  expect(await types(`callId=${callId}`)).toEqual(['call.ringing', 'call.ended']);
  expect(await types(`userId=${userId}&types=call.*`)).toEqual(['call.ended']);
  const page = await api.call('GET', `/v1/events?format=json&domain=${domain.id}&limit=2`);
  expect(page.body.nextSince).toBe(2);
  expect(await types(`since=2`)).toEqual(['call.ended', 'registration.started']);
  expect((await api.call('GET', `/v1/events?domain=${domain.id}&since=99`)).body.code).toBe('invalid_request');
});

test('a WebSocket gets the same as JSON messages; without a key it is refused', async () => {
  const domain = await makeDomain();
  const url = `${api.url.replace('http', 'ws')}/v1/events?domain=${domain.name}&since=0`;
  const socket = new WebSocket(url, { headers: { authorization: `Bearer ${ADMIN_KEY}` } });
  const heard: { number: number; type: string }[] = [];
  socket.on('message', (data: Buffer) => heard.push(JSON.parse(data.toString())));
  await new Promise((resolve) => socket.once('open', resolve));
  await write(other, domain.id);
  await until('both are heard', () => heard.length === 2);
  socket.terminate();
  expect(heard.map((e) => [e.number, e.type])).toEqual([
    [1, 'domain.created'],
    [2, 'test.written'],
  ]);
  const refused = new WebSocket(url);
  const error = await new Promise<Error>((resolve) => refused.once('error', resolve));
  expect(error.message).toMatch('401');
});

test('with Redis away, events still come, by looking', async () => {
  const domain = await makeDomain();
  const lonely = await startApi({ ...pick(), redisUrl: 'redis://127.0.0.1:1' });
  const stream = await listen(lonely, `/v1/events?domain=${domain.name}`);
  await write(api, domain.id);
  await write(lonely, domain.id);
  await stream.until((told) => told.length === 2);
  await stream.close();
  await lonely.close();
});

const pick = () => ({ databaseUrl: stores.databaseUrl, redisUrl: stores.redisUrl, redisPrefix: stores.redisPrefix });

test('a domain key reads its own domain only; a revoked key is dead at once in every replica, its streams too', async () => {
  const domain = await makeDomain();
  const foreign = await makeDomain();
  const key = (await api.call('POST', '/v1/api-keys', { name: 'reader', scope: 'domain', domain: domain.name })).body;
  const bearer = { authorization: `Bearer ${key.key}` };
  expect((await other.call('GET', `/v1/events?domain=${foreign.name}`, undefined, bearer)).status).toBe(404);
  const stream = await listen(other, '/v1/events', bearer);
  await write(api, foreign.id);
  await write(api, domain.id);
  await stream.until((told) => told.length === 1);
  expect(stream.told[0]!.event).toBe('test.written');
  expect((await other.call('GET', '/v1/domains', undefined, bearer)).status).toBe(200);
  expect((await api.call('DELETE', `/v1/api-keys/${key.id}`)).status).toBe(204);
  const isRefused = async () => (await other.call('GET', '/v1/domains', undefined, bearer)).status === 401;
  await until('the other replica was told', isRefused);
  await stream.until(() => stream.ended());
});

test('a quiet stream says that it is there, and where to come back', async () => {
  const domain = await makeDomain();
  const stream = await listen(api, `/v1/events?domain=${domain.name}`);
  await stream.until(() => stream.raw().includes(': heartbeat\nid: 1'));
  expect(stream.response.headers.get('content-type')).toMatch('text/event-stream');
  expect(stream.raw()).toMatch(/^retry: 2000\nid: 1\n\n/);
  await stream.close();
});
