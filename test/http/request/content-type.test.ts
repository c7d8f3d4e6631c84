/** A body that is JSON is read, however a client writes its type; what it is not is refused before it is read. */
import { isJsonType } from '../../../src/http/request/content-type';
import { useStores } from '../../stores';
import { startApi, type TestApi } from '../start-api';

const stores = useStores();
let api: TestApi;
beforeAll(async () => {
  api = await startApi(stores);
});
afterAll(() => api.close());

const TAKEN = [
  'application/json',
  'Application/JSON',
  'application/json;charset=utf-8',
  'application/json; charset=utf8',
  'application/json; charset=UTF8',
  'application/json; charset="UTF-8"',
  'application/json ; charset = utf-8'.replace(' = ', '='),
  'application/json;',
  'application/json; odata.metadata=minimal',
  'application/json; profile="https://schema.test/a;b\\"c"',
  'application/json; profile=x; charset=utf-8',
  'application/json; charset=us-ascii',
  'application/merge-patch+json',
  'application/vnd.api+json',
  'application/problem+json; charset=utf-8',
];
const REFUSED = [
  '',
  'text/plain',
  'text/json',
  'application/x-www-form-urlencoded',
  'application/jsonp',
  'application/json-seq',
  'application/+json',
  'application/json, text/plain',
  'application/json; charset=utf-16',
  'application/json; charset=latin1',
  'application/json; charset=utf-8; charset=utf-16',
  'application/json charset=utf-8',
  'application/json; charset="utf-8',
  'multipart/form-data; boundary=application/json',
];

test.each(TAKEN)('%j is taken', async (type) => {
  expect(isJsonType(type)).toBe(true);
  const made = await api.call(
    'POST',
    '/v1/domains',
    { name: `d${Math.random()}`.slice(0, 12) + '.test' },
    {
      'content-type': type,
    },
  );
  expect(made.status).toBe(201);
});

test.each(REFUSED)('%j is refused', async (type) => {
  expect(isJsonType(type)).toBe(false);
  if (type === '') return; // fetch would write one of its own
  const said = await api.call('POST', '/v1/domains', { name: 'x.test' }, { 'content-type': type });
  expect(said).toMatchObject({ status: 415, body: { code: 'unsupported_media_type' } });
});

test('a change is taken as application/merge-patch+json', async () => {
  const { body } = await api.call('POST', '/v1/domains', { name: 'patched.test' });
  const type = { 'content-type': 'application/merge-patch+json; charset=utf8' };
  expect((await api.call('PATCH', `/v1/domains/${body.id}`, { displayName: 'P' }, type)).body.displayName).toBe('P');
});

test('a type that is written to take long takes no time', () => {
  const hostile = [
    `application/json${'; '.repeat(500)}x`,
    `application/json;a="${'\\"'.repeat(450)}`,
    `${'a'.repeat(1000)}/`,
  ];
  const began = performance.now();
  for (const type of hostile) expect(isJsonType(type)).toBe(false);
  expect(isJsonType(`application/json;${' '.repeat(900)}`)).toBe(true);
  expect(isJsonType(`application/json;${' '.repeat(5000)}`)).toBe(false);
  expect(performance.now() - began).toBeLessThan(500);
});
