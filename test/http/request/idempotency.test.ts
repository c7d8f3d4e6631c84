import { useStores } from '../../stores';
import { startApi, type TestApi } from '../start-api';

const stores = useStores();
let api: TestApi;
beforeAll(async () => {
  api = await startApi(stores);
});
afterAll(() => api.close());

const post = (name: string, key: string, displayName = '') =>
  api.call('POST', '/v1/domains', { name, displayName }, { 'idempotency-key': key });

test('the same key and request is done once and answered the same', async () => {
  const first = await post('once.test', 'a');
  const again = await post('once.test', 'a');
  expect([first.status, again.status]).toEqual([201, 201]);
  expect(again.body).toEqual(first.body);
  expect(again.headers.get('location')).toBe(first.headers.get('location'));
  expect(first.headers.get('idempotency-replayed')).toBeNull();
  expect(again.headers.get('idempotency-replayed')).toBe('true');
});

test('the same key with another request is a conflict', async () => {
  await post('mine.test', 'b');
  const other = await post('yours.test', 'b');
  expect([other.status, other.body.code]).toEqual([409, 'idempotency_mismatch']);
});

test('twenty at once do it once', async () => {
  const answers = await Promise.all(Array.from({ length: 20 }, () => post('twenty.test', 'c')));
  for (const answer of answers) {
    expect([201, 409]).toContain(answer.status);
    if (answer.status === 409) expect(answer.body.code).toBe('idempotency_in_progress');
  }
  const { body } = await api.call('GET', '/v1/events?format=json&types=domain.created&limit=1000');
  expect(
    body.items.filter((e: { data: { domain: { name: string } } }) => e.data.domain.name === 'twenty.test'),
  ).toHaveLength(1);
});

test('after a failure the key is free', async () => {
  await post('taken.test', 'd');
  expect((await post('taken.test', 'e')).body.code).toBe('conflict');
  expect((await api.call('DELETE', '/v1/domains/taken.test')).status).toBe(204);
  expect((await post('taken.test', 'e')).status).toBe(201);
});

test('a secret that is shown once is not readable in what is kept, and keys end after a day', async () => {
  const made = await api.call('POST', '/v1/api-keys', { name: 'k', scope: 'admin' }, { 'idempotency-key': 'f' });
  const again = await api.call('POST', '/v1/api-keys', { name: 'k', scope: 'admin' }, { 'idempotency-key': 'f' });
  expect(again.body.key).toBe(made.body.key);
  const kept = await api.db('idempotency_keys').where({ key: 'f' });
  expect(JSON.stringify(kept)).not.toMatch(made.body.key);
  await api
    .db('idempotency_keys')
    .where({ key: 'f' })
    .update({ created_at: new Date(Date.now() - 25 * 3600_000) });
  const new_ = await api.call('POST', '/v1/api-keys', { name: 'k', scope: 'admin' }, { 'idempotency-key': 'f' });
  expect(new_.body.key).not.toBe(made.body.key);
});
