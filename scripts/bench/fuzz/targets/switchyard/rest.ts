/** The REST API, with our own document as its grammar: bodies and queries that are right, nearly right, and nasty. */
import * as fc from 'fast-check';
import { jsonOfBothKinds, nastyJson, type Known, type Resolve, type Schema } from '../../grammar/json';
import { anyText, inUrl } from '../../grammar/text';
import { findSchemaFault } from '../../oracles/schema';
import { callApi, make, type ApiAnswer, type Surroundings } from '../../cluster';
import { defineAsyncTarget, must, mustEqual, type Target } from '../../target';

interface Operation {
  operationId: string;
  parameters?: { name: string; in: string; required?: boolean; schema: Schema }[];
  requestBody?: { content: Record<string, { schema: Schema }> };
  responses: Record<string, { content?: Record<string, { schema: Schema }>; $ref?: string }>;
}

interface Document {
  paths: Record<string, Record<string, Operation>>;
  components: Record<string, Record<string, Schema>>;
}

interface Asked {
  method: string;
  path: string;
  url: string;
  body: string | undefined;
  headers: Record<string, string>;
}

/** The pool itself can say these; every other 5xx is a fault of ours. */
const OF_THE_POOL = ['no_capacity', 'node_error', 'node_unreachable', 'node_timeout'];
/** Longer than any answer takes; those that wait for a node, or make a canary, are named. */
const SLOW_MS = 4000;
const MAY_WAIT = /canary|recordings|snapshot|hangup|participants|sessions|play|say|floor|image/i;
/** Streams never end. A node that is removed, or a key that is deleted, would end the run. */
const LEFT_OUT =
  /^(DELETE \/v1\/nodes|DELETE \/v1\/api-keys|POST \/v1\/nodes\/\{id\}\/(drain|shutdown)|GET \/v1\/events$|GET .*\/(live|stream)$|POST .*\/canary)/i;
/** A key may ask 200 times a second: several of them, in turn. */
const KEYS = 12;

export async function openRestTarget(at: Surroundings): Promise<Target> {
  const document = (await callApi(at, 'GET', '/openapi.json')).body as Document;
  const resolve: Resolve = (ref) => {
    const [, , kind = '', name = ''] = ref.split('/');
    return document.components[kind]![name]!;
  };
  const things = await makeThings(at);
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, operation]) =>
      LEFT_OUT.test(`${method.toUpperCase()} ${path}`) ? [] : [{ path, method: method.toUpperCase(), operation }],
    ),
  );
  const keys = await Promise.all(
    Array.from({ length: KEYS }, (_, i) => make(at, '/v1/api-keys', { name: `fuzz ${i}`, scope: 'admin' })),
  );
  let asked = 0;
  return defineAsyncTarget({
    name: 'rest',
    holds:
      'no request is answered 5xx: every answer is what the document says, or a problem with a code of ours, in time',
    perBatch: 200,
    inputs: fc.oneof(...operations.map((o) => requestOf(o.path, o.method, o.operation, resolve, things))),
    async check(request) {
      asked += 1;
      const adminKey = String(keys[asked % keys.length]!.key);
      const before = at.errors.length;
      const answer = await callApi(
        { url: at.url, adminKey },
        request.method,
        request.url,
        request.body,
        request.headers,
      );
      const said = (): string =>
        `${request.method} ${request.url}: ${answer.status} ${answer.text.slice(0, 500)} ${at.errors.slice(before).join('').slice(0, 1500)}`;
      const code = (answer.body as { code?: string } | undefined)?.code;
      if (code === 'rate_limited') {
        await new Promise((done) => setTimeout(done, 500));
        return 'rate_limited';
      }
      must(answer.status < 500 || OF_THE_POOL.includes(code ?? ''), said);
      must(
        answer.tookMs < SLOW_MS || MAY_WAIT.test(request.path),
        () => `${Math.round(answer.tookMs)} ms for ${said()}`,
      );
      mustFit(document, resolve, request, answer, said);
      must(
        at.errors.slice(before).every((line) => !line.includes('a request failed')),
        said,
      );
      learn(things, request.url, answer);
      return answer.status < 400 ? `${request.method} ok` : `${answer.status} ${code}`;
    },
  });
}

function mustFit(document: Document, resolve: Resolve, request: Asked, answer: ApiAnswer, said: () => string): void {
  if (request.method === 'HEAD' || answer.status === 204) return;
  const operation = document.paths[request.path]![request.method.toLowerCase()]!;
  const response = operation.responses[String(answer.status)];
  if (answer.status >= 400) {
    must(answer.type.startsWith('application/problem+json'), () => `no problem: ${said()}`);
    const fault = findSchemaFault(answer.body, document.components.schemas!.Problem!, resolve);
    mustEqual(fault, undefined, said());
    mustEqual((answer.body as { status: number }).status, answer.status, 'the status in the problem');
    return;
  }
  must(response !== undefined, () => `the document knows no such answer: ${said()}`);
  const schema = Object.entries(response.content ?? {}).find(([type]) => answer.type.startsWith(type))?.[1].schema;
  if (!schema || !/json/.test(answer.type)) return;
  mustEqual(findSchemaFault(answer.body, schema, resolve), undefined, `what the document says of ${said()}`);
}

/** Things that exist, by the last word of the path that lists them; what answers show is learned. */
type Things = Map<string, string[]>;

const PASSWORD = 'Kah7oo-ngeiX2';

async function makeThings(at: Surroundings): Promise<Things> {
  const things: Things = new Map([
    ['domain', ['fuzz.test', 'other.test', 'none.test']],
    ['username', ['bob', 'alice', '1001', 'nobody']],
    ['address', ['user:bob', 'user:alice', 'room:ward', '9196', 'tel:+49301234567', 'sip:a@b.test']],
    ['room', ['ward', 'attic']],
  ]);
  const made = async (path: string, body: unknown): Promise<string> => {
    const answer = await callApi(at, 'POST', path, body);
    if (answer.status >= 300) throw new Error(`POST ${path}: ${answer.status} ${answer.text}`);
    learn(things, path, answer);
    return String((answer.body as { id: unknown }).id);
  };
  for (const name of ['fuzz.test', 'other.test']) {
    await made('/v1/domains', { name });
    for (const username of ['bob', 'alice', '1001'])
      await made('/v1/users', { domain: name, username, password: PASSWORD });
  }
  for (const username of ['bob', 'alice']) await at.registerPhone?.(username, 'fuzz.test', PASSWORD);
  await made('/v1/rooms', { domain: 'fuzz.test', name: 'attic' });
  const room = await made('/v1/rooms', { domain: 'fuzz.test', name: 'ward' });
  await made(`/v1/rooms/${room}/grants`, {});
  await made('/v1/calls', { domain: 'fuzz.test', from: 'user:bob', to: '9196' });
  await made('/v1/calls', { domain: 'fuzz.test', from: 'user:alice', to: 'room:ward' });
  return things;
}

const MOST_KNOWN = 40;

/** Under the last word of a path that is no id: /v1/rooms/ID/participants is a list of participants. */
const kindOf = (path: string): string | undefined =>
  path
    .split('?')[0]!
    .split('/')
    .findLast((word) => /^[a-z-]{3,}$/.test(word) && word !== 'v1');

function learn(things: Things, path: string, answer: ApiAnswer): void {
  const kind = kindOf(path);
  if (answer.status >= 300 || kind === undefined) return;
  for (const [, id] of answer.text.matchAll(/"id":"([^"]{10,60})"/g)) {
    const ids = things.get(kind) ?? [];
    things.set(kind, ids);
    if (ids.includes(id!)) continue;
    ids.push(id!);
    if (ids.length > MOST_KNOWN) ids.splice(1, 1);
  }
}

function requestOf(
  path: string,
  method: string,
  operation: Operation,
  resolve: Resolve,
  things: Things,
): fc.Arbitrary<Asked> {
  const words = path.split('/');
  /** In a path an id is of what stands before it; in a body of what its name says. */
  const kindIn = (name: string): string | undefined => {
    const at = words.indexOf(`{${name}}`);
    if (at > 0) return words[at - 1];
    if (/domain/i.test(name)) return 'domain';
    if (/^(from|to|target|address)$/.test(name)) return 'address';
    if (/username|identity/.test(name)) return 'username';
    if (name === 'room') return 'room';
    return /^(room|call|user|node|grant|participant|layout|recording)Id$/.exec(name)?.[1]?.concat('s');
  };
  // What is learned changes while it runs: an index keeps a seed's inputs alike as far as they can be.
  const known: Known = (name) => {
    const kind = kindIn(name);
    if (kind === undefined) return undefined;
    return fc.nat({ max: MOST_KNOWN }).map((i) => {
      const list = things.get(kind) ?? [];
      return list.length > 0 ? list[i % list.length]! : '0198c0de-0000-7000-8000-000000000001';
    });
  };
  const value = (name: string, schema: Schema): fc.Arbitrary<string> =>
    fc.oneof(
      { weight: 12, arbitrary: known(name) ?? jsonOfBothKinds(schema, { resolve, known }, name).map(bare) },
      { weight: 3, arbitrary: jsonOfBothKinds(schema, { resolve, known }, name).map(bare) },
      { weight: 1, arbitrary: anyText },
    );
  const parameters = operation.parameters ?? [];
  const inPath = parameters.filter((p) => p.in === 'path');
  const inQuery = parameters.filter((p) => p.in === 'query');
  const schema = operation.requestBody?.content['application/json']?.schema;
  const fileType = Object.keys(operation.requestBody?.content ?? {}).find((type) => !/json/.test(type));
  const body: fc.Arbitrary<string | undefined> = schema
    ? fc.oneof(
        { weight: 30, arbitrary: jsonOfBothKinds(schema, { resolve, known }) },
        { weight: 1, arbitrary: nastyJson },
        { weight: 1, arbitrary: anyText },
      )
    : fileType
      ? anyText
      : fc.constant(undefined);
  return fc
    .record({
      path: fc.tuple(...inPath.map((p) => value(p.name, p.schema))),
      query: fc.tuple(...inQuery.map((p) => fc.option(value(p.name, p.schema), { freq: p.required ? 20 : 1 }))),
      extra: fc.oneof(
        { weight: 12, arbitrary: fc.constant('') },
        { weight: 1, arbitrary: anyText.map((t) => inUrl(t)) },
      ),
      body,
      key: fc.option(
        fc.oneof(
          fc.nat({ max: 3000 }).map((n) => `k${n}`),
          anyText,
        ),
        { freq: 1 },
      ),
    })
    .map((made) => {
      const filled = inPath.reduce((text, p, i) => text.replace(`{${p.name}}`, inUrl(made.path[i]! || '-')), path);
      const query = inQuery.flatMap((p, i) => {
        const text = made.query[i];
        return text === null || text === undefined ? [] : [`${p.name}=${inUrl(text)}`];
      });
      if (made.extra !== '') query.push(made.extra);
      const isKey = made.key !== null && /^[\x20-\x7e]+$/.test(made.key);
      return {
        method,
        path,
        url: filled + (query.length > 0 ? `?${query.join('&')}` : ''),
        body: method === 'GET' || method === 'DELETE' ? undefined : made.body,
        headers: {
          ...(isKey ? { 'idempotency-key': made.key!.trim() } : {}),
          ...(fileType ? { 'content-type': fileType } : {}),
        },
      };
    });
}

/** A text in a path or query stands there without quotes. */
const bare = (json: string): string => {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'string' ? value : json;
  } catch {
    return json;
  }
};
