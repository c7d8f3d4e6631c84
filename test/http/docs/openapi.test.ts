import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { useStores } from '../../stores';
import { startApi, type TestApi } from '../start-api';

const stores = useStores();
let api: TestApi;
beforeAll(async () => {
  api = await startApi(stores);
});
afterAll(() => api.close());

test('the document is valid OpenAPI 3.1', async () => {
  const { body } = await api.call('GET', '/openapi.json');
  const folder = mkdtempSync(join(tmpdir(), 'openapi-'));
  try {
    const file = join(folder, 'openapi.json');
    writeFileSync(file, JSON.stringify(body));
    const tool = join(dirname(require.resolve('@seriousme/openapi-schema-validator/package.json')), 'bin');
    const run = await promisify(execFile)(process.execPath, [join(tool, 'validate-api-cli.js'), file]);
    expect(body.openapi).toMatch(/^3\.1\./);
    expect(JSON.parse(run.stdout)).toEqual({ valid: true });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('it names what a reader needs: fields, faults and who may ask', async () => {
  const { body } = await api.call('GET', '/openapi.json', undefined, { authorization: '' });
  const post = body.paths['/v1/users'].post;
  const fields = post.requestBody.content['application/json'].schema;
  expect(fields.required.sort()).toEqual(['username']);
  expect(fields.additionalProperties).toBe(false);
  expect(fields.properties.password).toMatchObject({ minLength: 8, maxLength: 128 });
  expect(Object.keys(post.responses)).toEqual(
    expect.arrayContaining(['201', '400', '401', '409', '413', '415', '429', '503']),
  );
  expect(body.paths['/v1/users/{id}'].get.responses['200'].content['application/json'].schema).toEqual({
    $ref: '#/components/schemas/User',
  });
  const refs = [...JSON.stringify(body).matchAll(/"\$ref":"#\/components\/(\w+)\/(\w+)"/g)];
  for (const [, kind, name] of refs) expect(body.components[kind!][name!]).toBeDefined();
  const ids = Object.values(body.paths as Record<string, object>).flatMap((p) =>
    Object.values(p as Record<string, { operationId: string }>).map((o) => o.operationId),
  );
  expect(new Set(ids).size).toBe(ids.length);
});

test('the page at /docs shows every route and code, and loads nothing from elsewhere', async () => {
  const answer = await api.call('GET', '/docs', undefined, { authorization: '' });
  expect(answer.status).toBe(200);
  for (const word of ['/v1/users/{id}', 'Idempotency-Key', 'id="error-idempotency_mismatch"', 'callerNumber']) {
    expect(answer.body).toContain(word);
  }
  expect(answer.body).not.toMatch(/<script|<link|<img|@import|url\(|src=/);
  expect(answer.headers.get('content-security-policy')).toMatch(/default-src 'none'/);
});
