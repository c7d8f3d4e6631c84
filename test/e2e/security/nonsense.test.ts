/** Whatever stands in a request or in a node's question: it is refused with the field named, and never ends in a 500. */
import { randomUUID } from 'node:crypto';
import { createSeededRandom } from '../../../src/infra/random';
import { parseDocument } from '../../../src/freeswitch/xml';
import { useStores } from '../../stores';
import { ADMIN_KEY, DOMAIN, startApp, until, type Answer, type Node, type App } from '../harness';
import { loginQuestion } from '../login-question';

const stores = useStores();
let app: App;
let node: Node;
beforeAll(async () => {
  app = await startApp(stores);
  node = await app.addNode('one');
  await app.addUser('bob');
  await app.askXml(node, loginQuestion({ username: 'bob' }));
});
afterAll(() => app?.close());

const BAD: [string, string][] = [
  ['U+0000', 'a\u0000b'],
  ['the first half of a pair', 'a\ud83d'],
  ['the second half of a pair', '\udc00b'],
];

interface Operation {
  method: string;
  path: string;
  /** As the document writes it: /v1/users/{id}. */
  template: string;
  fields: string[];
  query: string[];
}

/** Every operation of the document, with the names of its body's fields and of its query's. */
async function listOperations(): Promise<Operation[]> {
  const document = (await app.api('GET', '/openapi.json')).body;
  return Object.entries<Record<string, Answer['body']>>(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => {
      const schema = operation.requestBody?.content?.['application/json']?.schema;
      return {
        method: method.toUpperCase(),
        template: path,
        path: path.replaceAll(/\{\w+\}/g, () => randomUUID()),
        fields: Object.keys(schema?.properties ?? {}),
        query: (operation.parameters ?? [])
          .filter((p: { in: string }) => p.in === 'query')
          .map((p: { name: string }) => p.name),
      };
    }),
  );
}

async function ask(method: string, path: string, body?: string): Promise<Answer> {
  return until(`${method} ${path} is answered`, async () => {
    const response = await fetch(app.url + path, {
      method,
      headers: {
        authorization: `Bearer ${ADMIN_KEY}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body,
    });
    const text = await response.text();
    return response.status === 429 ? undefined : { status: response.status, body: text ? JSON.parse(text) : undefined };
  });
}

const namesOf = (body: { errors?: { path: string }[] }): string[] => (body.errors ?? []).map(({ path }) => path);

test('every text of every body is looked at, also in lists, maps and names', async () => {
  const operations = (await listOperations()).filter(({ fields }) => fields.length > 0);
  expect(operations.length).toBeGreaterThan(20);
  for (const { method, path, fields } of operations) {
    for (const [, bad] of BAD.slice(0, 2)) {
      const body = JSON.stringify(Object.fromEntries(fields.map((field) => [field, bad])));
      const answer = await ask(method, path, body);
      expect([method, path, answer.status, answer.body.code]).toEqual([method, path, 400, 'invalid_request']);
      expect(namesOf(answer.body)).toEqual(expect.arrayContaining(fields.slice(0, 20)));
    }
  }
});

test.each(BAD)('%s in metadata is named where it stands', async (_name, bad) => {
  const room = (await app.must(201, 'POST', '/v1/rooms', { domain: DOMAIN, name: `r${Date.now()}` })).id;
  const escape = (value: unknown) => JSON.stringify(value);
  const asked: [object, string][] = [
    [{ a: bad }, 'metadata.a'],
    [{ a: { b: [1, 'x', { c: bad }] } }, 'metadata.a.b.2.c'],
    [{ [bad]: 1 }, `metadata.${bad}`],
  ];
  for (const [metadata, path] of asked) {
    for (const where of [`/v1/rooms/${room}/grants`, '/v1/rooms']) {
      const answer = await ask('POST', where, escape({ metadata }));
      expect([answer.status, namesOf(answer.body)]).toEqual([400, expect.arrayContaining([path])]);
    }
  }
});

test('a NUL in a query or in a path is refused, and named', async () => {
  const operations = await listOperations();
  const reads = operations.filter(({ query }) => query.length > 0);
  expect(reads.length).toBeGreaterThan(5);
  for (const { method, path, query } of reads) {
    const answer = await ask(method, `${path}?${query.map((name) => `${name}=%00`).join('&')}`);
    expect([path, answer.status]).toEqual([path, 400]);
    expect(namesOf(answer.body)).toEqual(expect.arrayContaining(query));
  }
  for (const path of [
    '/v1/domains/a%00b',
    '/v1/users/%00',
    '/v1/calls/%00/placement',
    '/v1/rooms/x/participants/%00',
  ]) {
    const answer = await ask('GET', path);
    expect([path, answer.status, answer.body.code]).toEqual([path, 400, 'invalid_request']);
  }
});

test('a NUL or half a pair in any parameter of any path is refused, and the parameter is named', async () => {
  const named = (await listOperations()).filter(({ template }) => template.includes('{'));
  expect(named.length).toBeGreaterThan(40);
  for (const { method, template } of named) {
    for (const name of [...template.matchAll(/\{(\w+)\}/g)].map((match) => match[1]!)) {
      const at = (bad: string) =>
        template.replaceAll(/\{(\w+)\}/g, (_all, other: string) => (other === name ? bad : randomUUID()));
      const body = ['POST', 'PUT', 'PATCH'].includes(method) ? '{}' : undefined;
      const nul = await ask(method, at('a%00b'), body);
      expect([method, template, nul.status, namesOf(nul.body)]).toEqual([method, template, 400, [name]]);
      // No UTF-8, so no text: it names nothing.
      const half = await ask(method, at('a%ED%A0%BDb'), body);
      expect([method, template, [400, 404].includes(half.status)]).toEqual([method, template, true]);
    }
  }
});

test('half a pair in a query is no 500', async () => {
  for (const { method, path, query } of (await listOperations()).filter((one) => one.query.length > 0)) {
    const said = await ask(method, `${path}?${query.map((name) => `${name}=%ED%A0%BD`).join('&')}`);
    expect([method, path, said.status >= 400 && said.status < 500]).toEqual([method, path, true]);
  }
});

test('what no header may hold is refused, and a header of other nonsense is named', async () => {
  const send = (headers: Record<string, string>) =>
    fetch(`${app.url}/v1/domains`, {
      method: 'POST',
      headers: { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ name: `h${Date.now()}.test` }),
    });
  const key = await send({ 'idempotency-key': 'caf\u00e9\u0085' });
  expect([key.status, ((await key.json()) as { detail: string }).detail]).toEqual([
    400,
    expect.stringContaining('Idempotency-Key'),
  ]);
  const events = await fetch(`${app.url}/v1/events?format=json`, {
    headers: { authorization: `Bearer ${ADMIN_KEY}`, 'last-event-id': '\u00ff' },
  });
  expect([events.status, ((await events.json()) as { detail: string }).detail]).toEqual([
    400,
    expect.stringContaining('Last-Event-ID'),
  ]);
});

test('a nest without end is refused before anybody reads it', async () => {
  const nest = (depth: number) => `{"metadata":{"a":${'['.repeat(depth)}${']'.repeat(depth)}}}`;
  const room = (await app.must(201, 'POST', '/v1/rooms', { domain: DOMAIN, name: 'deep' })).id;
  const everywhere = (await listOperations()).filter(({ fields }) => fields.includes('metadata'));
  for (const path of [`/v1/rooms/${room}/grants`, ...everywhere.map((one) => one.path)]) {
    const method = everywhere.find((one) => one.path === path)?.method ?? 'POST';
    for (const depth of [40, 20_000, 45_000]) {
      const answer = await ask(method, path, nest(depth));
      expect([path, answer.status, answer.body.code]).toEqual([path, 400, 'invalid_request']);
      expect(answer.body.errors[0].message).toBe('is nested deeper than 32');
    }
  }
  expect((await ask('POST', `/v1/rooms/${room}/grants`, nest(30))).status).toBe(201);
});

const dialplan = (more: Record<string, string> = {}): Record<string, string> => ({
  hostname: node.name,
  section: 'dialplan',
  'Unique-ID': randomUUID(),
  'Caller-Context': 'users',
  'Hunt-Context': 'users',
  'Caller-Destination-Number': '9196',
  'Call-Direction': 'inbound',
  variable_sip_authorized: 'true',
  variable_user_name: 'bob',
  variable_domain_name: DOMAIN,
  ...more,
});

test.each([
  ['an id that is none', { 'Unique-ID': 'leg-1' }],
  ['an id that is nearly one', { 'Unique-ID': '01a1ff28-6ff5-7bde-a858-ed555e99839' }],
  ['no id', { 'Unique-ID': '' }],
  ['a NUL in its id', { 'Unique-ID': '01a1ff28-6ff5-7bde-a858-ed555e9983\u0000' }],
  ['a NUL in the number', { 'Caller-Destination-Number': '91\u000096' }],
])('a channel with %s is refused by a plan', async (_name, fields) => {
  const { status, text } = await app.askXmlOnce(node, dialplan(fields));
  expect([status, text]).toEqual([200, expect.stringContaining('application="hangup"')]);
  expect(text).toContain('<context name="users">');
  expect(() => parseDocument(text)).not.toThrow();
});

test('a NUL elsewhere, or false ids beside the right one, keep nobody from calling', async () => {
  const odd = { 'Core-UUID': 'x', variable_switchyard_call_id: 'not-an-id', 'Caller-Caller-ID-Name': 'a\u0000b' };
  const { status, text } = await app.askXmlOnce(node, dialplan(odd));
  expect([status, text]).toEqual([200, expect.stringContaining('application="echo"')]);
});

test('a number that is cut within a character is kept', async () => {
  const number = `${'9'.repeat(127)}😀`;
  const { status, text } = await app.askXmlOnce(node, dialplan({ 'Caller-Destination-Number': number }));
  expect([status, text]).toEqual([200, expect.stringContaining('INVALID_NUMBER_FORMAT')]);
  const { items } = await app.must(200, 'GET', `/v1/calls?domain=${DOMAIN}&limit=1`);
  expect(items[0].to).toBe(`${'9'.repeat(127)}\ufffd`);
});

test('600 questions of nonsense: each is answered, as XML, and none with a 500', async () => {
  const random = createSeededRandom(7);
  const names = [
    'section',
    'Unique-ID',
    'Hunt-Context',
    'Caller-Context',
    'Caller-Destination-Number',
    'user',
    'domain',
  ]
    .concat(['purpose', 'action', 'key_name', 'key_value', 'Core-UUID', 'variable_user_name', 'variable_domain_name'])
    .concat(['variable_switchyard_call_id', 'switchyard_call_id', 'variable_switchyard_attempt', 'conference_name'])
    .concat([
      'variable_sofia_profile_name',
      'variable_sip_h_X-Switchyard-Token',
      'variable_switchyard_pin',
      'profile_name',
    ])
    .concat([
      'Caller-Caller-ID-Name',
      'Caller-Caller-ID-Number',
      'variable_sip_network_ip',
      'Fetch-Call-UUID',
      'hostname',
    ]);
  const values = [
    '',
    '\u0000',
    'a\u0000b',
    '\u0001',
    '\ufffe',
    '\ud800',
    '%',
    '%zz',
    'x'.repeat(3000),
    'users',
    'calls',
    'rooms',
  ]
    .concat([
      'canary',
      'internode',
      'bob',
      'room',
      DOMAIN,
      'dialplan',
      'directory',
      'configuration',
      'conference.conf',
      '9196',
    ])
    .concat([
      'sip_auth',
      'user_call',
      'name',
      'true',
      'sofia.conf',
      'event_socket.conf',
      randomUUID(),
      '${x}',
      '<a>',
      'a.b',
    ])
    .concat([
      `${randomUUID()}.${randomUUID()}`,
      `${randomUUID()}.x\u0000`,
      '😀'.repeat(80),
      'e30.e30',
      'answer.canary-x.y',
    ]);
  const any = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const wrong: unknown[] = [];
  const askOne = async (): Promise<void> => {
    const form: Record<string, string> = random() < 0.5 ? dialplan() : { section: any(['directory', 'configuration']) };
    for (let i = 0; i < 1 + random() * 5; i += 1) form[any(names)] = any(values);
    const { status, text } = await app.askXmlOnce(node, form);
    let isXml = true;
    try {
      parseDocument(text);
    } catch {
      isXml = false;
    }
    if (status !== 200 || !isXml) wrong.push({ form, status, text: text.slice(0, 300) });
  };
  for (let i = 0; i < 30; i += 1) await Promise.all(Array.from({ length: 20 }, askOne));
  expect(wrong.slice(0, 3)).toEqual([]);
});

test('records of nonsense are taken for what they are', async () => {
  const deep = `{"variables":{"uuid":"${randomUUID()}"},"x":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
  for (const record of [deep, '{', '[]', 'null', '{"variables":{"uuid":"\\u0000"}}']) {
    expect(await app.sendCdr(node, record)).toEqual({ status: 200, text: 'malformed\n' });
  }
  const odd = { uuid: randomUUID(), switchyard_call_id: 'x\u0000', a: '\ud800', b: '\u0000', hangup_cause: '\u0000' };
  expect(await app.sendCdr(node, JSON.stringify({ variables: odd }))).toEqual({ status: 200, text: 'kept\n' });
});

test('who shows a name with a NUL at the door of recordings is no node', async () => {
  const headers = { authorization: `Basic ${Buffer.from('a\u0000b:c').toString('base64')}` };
  const answer = await fetch(`${app.url}/freeswitch/recordings/${randomUUID()}`, {
    method: 'PUT',
    headers,
    body: 'x',
  });
  expect(answer.status).toBe(401);
});
