/** The OpenAPI document is made of the routes' own schemas, so that it can't say anything else than the code does. */
import { z } from 'zod';
import { ERROR_CODES, type ErrorCode } from '../../errors';
import type { Route } from '../../infra/route';
import { problemSchema } from '../problem';

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

export interface OpenApiDocument {
  openapi: '3.1.1';
  info: JsonObject;
  servers: JsonObject[];
  tags: JsonObject[];
  paths: Record<string, Record<string, JsonObject>>;
  components: { schemas: JsonObject; responses: JsonObject; securitySchemes: JsonObject };
  security: JsonObject[];
}

const INTRODUCTION = `Provision domains and users, place calls on a pool of FreeSWITCH nodes, and follow what happens.

Send \`Authorization: Bearer API_KEY\`. A key with the scope \`domain\` sees one domain and nothing of the others.
Bodies are JSON; unknown fields are refused. Times are ISO 8601 in UTC. Lists are read with \`limit\` and \`cursor\`.
A POST with an \`Idempotency-Key\` can be sent again safely for 24 hours: it is done once and answered the same.
Failures are problem+json (RFC 9457) with a stable \`code\`.`;

/** @returns the document of all routes */
export function buildOpenApi(routes: readonly Route[], o: { version: string; publicUrl?: string }): OpenApiDocument {
  const schemas: JsonObject = {};
  const paths: OpenApiDocument['paths'] = {};
  for (const route of routes) (paths[route.path] ??= {})[route.method] = describe(route, schemas);
  const problem = toSchema(problemSchema, 'output', schemas);
  const responses: JsonObject = {};
  for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
    responses[code] = {
      description: `\`${code}\`: ${ERROR_CODES[code].title}. ${ERROR_CODES[code].fix}`,
      content: { 'application/problem+json': { schema: problem } },
    };
  }
  return {
    openapi: '3.1.1',
    info: {
      title: 'Switchyard',
      version: o.version,
      description: INTRODUCTION,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: o.publicUrl ?? '/' }],
    tags: [...new Set(routes.map((r) => r.tag))].map((name) => ({ name })),
    paths,
    components: {
      schemas,
      responses,
      securitySchemes: { apiKey: { type: 'http', scheme: 'bearer', description: 'An API key.' } },
    },
    security: [{ apiKey: [] }],
  };
}

/** The codes a route can answer, by what it takes. */
function errorCodesOf(route: Route): ErrorCode[] {
  const codes = new Set<ErrorCode>([
    'unauthorized',
    'rate_limited',
    'internal',
    'unavailable',
    ...(route.errors ?? []),
  ]);
  if (route.scope === 'admin') codes.add('forbidden');
  if (route.path.includes('{')) codes.add('not_found');
  if (route.query || route.body) codes.add('invalid_request');
  if (route.query && 'cursor' in route.query.shape) codes.add('invalid_cursor');
  if (route.file) codes.add('invalid_request');
  if (route.body || route.file) {
    if (route.body) codes.add('invalid_json');
    for (const code of ['request_timeout', 'payload_too_large', 'unsupported_media_type'] as const) {
      codes.add(code);
    }
  }
  if (route.method === 'post') codes.add('idempotency_mismatch').add('idempotency_in_progress');
  return [...codes].sort((a, b) => ERROR_CODES[a].status - ERROR_CODES[b].status);
}

function describe(route: Route, schemas: JsonObject): JsonObject {
  const operation: JsonObject = {
    operationId: operationIdOf(route),
    tags: [route.tag],
    summary: route.summary,
    parameters: [
      ...parametersOf(route.params, 'path', schemas),
      ...parametersOf(route.query, 'query', schemas),
      ...(route.method === 'post' ? [IDEMPOTENCY_KEY] : []),
    ],
    responses: responsesOf(route, schemas),
    'x-scope': route.scope,
  };
  if (route.description) operation.description = route.description;
  if (route.body) {
    const schema = toSchema(route.body.strict(), 'input', schemas);
    operation.requestBody = {
      required: !route.body.safeParse({}).success,
      content: { 'application/json': { schema } },
    };
  }
  if (route.file) {
    const content = route.file.types.map((type) => [type, { schema: { type: 'string', format: 'binary' } }] as const);
    operation.requestBody = { required: true, content: Object.fromEntries(content) };
  }
  return operation;
}

const IDEMPOTENCY_KEY: JsonObject = {
  name: 'Idempotency-Key',
  in: 'header',
  description:
    'Any name for this request. The same request with the same key within 24 hours is not carried out again: it gets the stored response.',
  schema: { type: 'string', minLength: 1, maxLength: 255 },
};

function operationIdOf(route: Route): string {
  const words = route.path.replace(/^\/v1\//, '').split(/[^A-Za-z0-9]+/);
  return [route.method, ...words.filter(Boolean).map((w) => w[0]!.toUpperCase() + w.slice(1))].join('');
}

function parametersOf(schema: z.ZodObject | undefined, place: 'path' | 'query', schemas: JsonObject): JsonObject[] {
  if (!schema) return [];
  const whole = toSchema(schema, 'input', schemas) as { properties?: JsonObject; required?: string[] };
  return Object.entries(whole.properties ?? {}).map(([name, given]) => {
    const { description, ...rest } = given as JsonObject;
    const parameter: JsonObject = { name, in: place, schema: rest };
    if (place === 'path' || whole.required?.includes(name)) parameter.required = true;
    if (description !== undefined) parameter.description = description;
    return parameter;
  });
}

function responsesOf(route: Route, schemas: JsonObject): JsonObject {
  const responses: JsonObject = {};
  for (const [status, schema] of Object.entries(route.answers)) {
    const answer: JsonObject = { description: schema?.description ?? (schema ? 'Done.' : 'Done; no body.') };
    if (schema)
      answer.content = { [route.produces ?? 'application/json']: { schema: toSchema(schema, 'output', schemas) } };
    responses[status] = answer;
  }
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of errorCodesOf(route)) {
    const { status } = ERROR_CODES[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  for (const [status, codes] of byStatus) {
    responses[status] =
      codes.length === 1
        ? { $ref: `#/components/responses/${codes[0]!}` }
        : {
            description: codes.map((c) => `\`${c}\`: ${ERROR_CODES[c].title}.`).join(' '),
            content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
          };
  }
  return responses;
}

/** Named schemas (zod's `meta({ id })`) move to the components; the rest stands where it is used. */
function toSchema(schema: z.ZodType, io: 'input' | 'output', schemas: JsonObject): JsonObject {
  const { $schema: _dialect, $defs, ...made } = z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as JsonObject;
  for (const [name, definition] of Object.entries(($defs ?? {}) as JsonObject)) schemas[name] = tidy(definition);
  const tidied = tidy(made) as JsonObject;
  const id = z.globalRegistry.get(schema)?.id;
  if (id === undefined || '$ref' in tidied) return tidied;
  schemas[id] = tidied;
  return { $ref: `#/components/schemas/${id}` };
}

/** References point at the components; the long patterns that zod adds to known formats are left out. */
function tidy(value: Json): Json {
  if (Array.isArray(value)) return value.map(tidy);
  if (value === null || typeof value !== 'object') return value;
  const formatted = typeof value.format === 'string';
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, v]) => !(formatted && key === 'pattern') && !(key === 'id' && typeof v === 'string'))
      .map(([key, v]) => [
        key,
        key === '$ref' && typeof v === 'string' ? v.replace('#/$defs/', '#/components/schemas/') : tidy(v),
      ]),
  );
}
