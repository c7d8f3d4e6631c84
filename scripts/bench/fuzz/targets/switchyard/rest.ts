/** The REST API, with our own document as its grammar: bodies and queries that are right, nearly right, and nasty. */
import * as fc from 'fast-check';
import { jsonOf, nastyJson, type Known, type Resolve, type Schema } from '../../grammar/json';
import { anyText, inUrl } from '../../grammar/text';
import { findSchemaFault } from '../../oracles/schema';
import { callApi, make, type ApiAnswer, type Surroundings } from '../../stage';
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
const MAY_WAIT = /canary|recordings|snapshot|hangup|participants|sessions|play|say|floor|picture/i;
/** Streams never end. A node that is removed, or a key that is deleted, would end the run. */
const LEFT_OUT =
  /^(DELETE \/v1\/nodes|DELETE \/v1\/api-keys|POST \/v1\/nodes\/\{id\}\/(drain|shutdown)|GET \/v1\/events$)/i;
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
    Array.from({ length: KEYS }, (_, i) => make(at, '/v1/api-keys', { name: `fuzz ${i}`, scopes: ['admin'] })),
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
      const adminKey = String(keys[asked % keys.length]!.key ?? keys[asked % keys.length]!.secret);
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
      learn(things, answer);
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

/** Things that exist, by kind; what answers show is learned. */
type Things = Map<string, string[]>;

async function makeThings(at: Surroundings): Promise<Things> {
  for (const name of ['fuzz.test', 'other.test']) {
    await make(at, '/v1/domains', { name });
    for (const username of ['bob', 'alice', '1001']) {
      await make(at, '/v1/users', { domain: name, username, password: 'Kah7oo-ngeiX2' });
    }
  }
  const room = await make(at, '/v1/rooms', { domain: 'fuzz.test', name: 'ward' });
  return new Map([
    ['domain', ['fuzz.test', 'other.test', 'none.test']],
    ['username', ['bob', 'alice', '1001', 'nobody']],
    ['address', ['user:bob', 'user:alice', 'room:ward', '9196', 'tel:+49301234567', 'sip:a@b.test']],
    ['id', [String(room.id)]],
    ['room', ['ward', String(room.id)]],
  ]);
}

const MOST_KNOWN = 60;

function learn(things: Things, answer: ApiAnswer): void {
  if (answer.status >= 300) return;
  for (const [, id] of answer.text.matchAll(/"(?:id|\w+Id)":"([^"]{10,60})"/g)) {
    const ids = things.get('id')!;
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
  // Learned things change while it runs: an index keeps a seed's inputs alike as far as they can be.
  const known: Known = (name) => {
    const kind = /domain/i.test(name)
      ? 'domain'
      : /^(from|to|target|address)$/.test(name)
        ? 'address'
        : /username|identity/.test(name)
          ? 'username'
          : /id$/i.test(name)
            ? 'id'
            : name === 'room'
              ? 'room'
              : undefined;
    return kind && fc.nat({ max: MOST_KNOWN }).map((i) => things.get(kind)!.at(-1 - (i % things.get(kind)!.length))!);
  };
  const value = (name: string, schema: Schema): fc.Arbitrary<string> =>
    fc.oneof(
      { weight: 8, arbitrary: known(name) ?? jsonOf(schema, resolve, known, name).map(bare) },
      { weight: 3, arbitrary: jsonOf(schema, resolve, known, name).map(bare) },
      { weight: 1, arbitrary: anyText },
    );
  const parameters = operation.parameters ?? [];
  const inPath = parameters.filter((p) => p.in === 'path');
  const inQuery = parameters.filter((p) => p.in === 'query');
  const schema = operation.requestBody?.content['application/json']?.schema;
  const fileType = Object.keys(operation.requestBody?.content ?? {}).find((type) => !/json/.test(type));
  const body: fc.Arbitrary<string | undefined> = schema
    ? fc.oneof(
        { weight: 30, arbitrary: jsonOf(schema, resolve, known) },
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
      key: fc.option(fc.oneof(fc.constantFrom('k1', 'k2', 'k3'), anyText), { freq: 6 }),
    })
    .map((made) => {
      const filled = inPath.reduce((text, p, i) => text.replace(`{${p.name}}`, inUrl(made.path[i]!)), path);
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
