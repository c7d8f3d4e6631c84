/** Makes values out of a JSON schema: right ones, nearly right ones, and what JSON can hold that nobody expects. */
import * as fc from 'fast-check';
import { anyText, plainText } from './text';

export type Schema = Readonly<Record<string, unknown>>;

/** Looks up `#/components/…`. */
export type Resolve = (ref: string) => Schema;

/** What a program breaks on. Written as JSON text, since not all of it can be a value here. */
const NASTY: readonly string[] = [
  'null',
  'true',
  '""',
  '" "',
  '"\\u0000"',
  '"\\ud800"',
  '"\\ufffe"',
  '"\\u202e"',
  '0',
  '-0',
  '-1',
  '0.1',
  '1e400',
  '-1e400',
  '1e21',
  '9007199254740993',
  '2147483648',
  '99999999999999999999999999',
  '[]',
  '{}',
  '[null]',
  '[[[[[[[[[[]]]]]]]]]]',
  '{"__proto__":{"polluted":1}}',
  '{"constructor":{"prototype":{"polluted":1}}}',
  '{"toString":1}',
  '{"length":1e9}',
  '{"":""}',
  '"2026-02-30T25:61:00Z"',
  '"+275760-09-13T00:00:00.000Z"',
  '"-000001-01-01T00:00:00Z"',
  '"9999-12-31T23:59:60.999999999Z"',
];

const deep = (open: string, close: string) => (levels: number) => open.repeat(levels) + close.repeat(levels);

export const nastyJson: fc.Arbitrary<string> = fc.oneof(
  { weight: 10, arbitrary: fc.constantFrom(...NASTY) },
  { weight: 4, arbitrary: anyText.map((text) => JSON.stringify(text)) },
  { weight: 1, arbitrary: fc.constantFrom(10, 1000, 20_000).map(deep('[', ']')) },
  { weight: 1, arbitrary: fc.constantFrom(10, 1000, 9000).map((n) => '{"a":'.repeat(n) + '1' + '}'.repeat(n)) },
  { weight: 1, arbitrary: fc.constantFrom(1000, 50_000).map((n) => JSON.stringify('x'.repeat(n))) },
);

/** What fields of that name take: things that exist, mostly. */
export type Known = (name: string) => fc.Arbitrary<string> | undefined;

/** How a schema is filled. */
export interface Filling {
  resolve: Resolve;
  known: Known;
  /** Nothing but what the schema takes; else anything at all now and then, at every place. */
  isStrict: boolean;
}

/** @returns JSON text of a value that the schema takes, or nearly takes */
function jsonOf(schema: Schema, f: Filling, name = '', depth = 0): fc.Arbitrary<string> {
  const right = rightJson(schema, f, name, depth);
  return f.isStrict ? right : fc.oneof({ weight: 14, arbitrary: right }, { weight: 1, arbitrary: nastyJson });
}

/** Half of them right, half of them nearly so. */
export const jsonOfBothKinds = (schema: Schema, f: Omit<Filling, 'isStrict'>, name = ''): fc.Arbitrary<string> =>
  fc.oneof(jsonOf(schema, { ...f, isStrict: true }, name), jsonOf(schema, { ...f, isStrict: false }, name));

function rightJson(schema: Schema, f: Filling, name: string, depth: number): fc.Arbitrary<string> {
  if (typeof schema.$ref === 'string') return rightJson(f.resolve(schema.$ref), f, name, depth);
  if (schema.const !== undefined) return fc.constant(JSON.stringify(schema.const));
  if (Array.isArray(schema.enum)) return fc.constantFrom(...schema.enum.map((value) => JSON.stringify(value)));
  const choices = (schema.anyOf ?? schema.oneOf ?? schema.allOf) as Schema[] | undefined;
  if (choices && depth < 6) return fc.oneof(...choices.map((one) => rightJson(one, f, name, depth + 1)));
  const type = Array.isArray(schema.type) ? (schema.type[0] as string) : schema.type;
  switch (type) {
    case 'string':
      return textOf(schema, f, name).map((text) => JSON.stringify(text));
    case 'integer':
    case 'number':
      return numberOf(schema, type === 'integer', f.isStrict).map(String);
    case 'boolean':
      return fc.constantFrom('true', 'false');
    case 'null':
      return fc.constant('null');
    case 'array': {
      const items = (schema.items ?? {}) as Schema;
      const least = (schema.minItems as number | undefined) ?? 0;
      return fc
        .array(jsonOf(items, f, name, depth + 1), {
          minLength: Math.min(least, 3),
          maxLength: depth > 4 ? 1 : 4,
        })
        .map((list) => `[${list.join(',')}]`);
    }
    case 'object':
      return objectOf(schema, f, depth);
    default:
      return nastyJson;
  }
}

function objectOf(schema: Schema, f: Filling, depth: number): fc.Arbitrary<string> {
  const properties = Object.entries((schema.properties ?? {}) as Record<string, Schema>);
  const required = (schema.required ?? []) as string[];
  const fields = properties.map(([name, inner]) => {
    const value = jsonOf(inner, f, name, depth + 1).map((text) => `${JSON.stringify(name)}:${text}`);
    return fc.option(value, { nil: '', freq: required.includes(name) ? (f.isStrict ? 10_000 : 25) : 1 });
  });
  const extra = f.isStrict
    ? fc.constant('')
    : fc.oneof(
        { weight: 20, arbitrary: fc.constant('') },
        { weight: 1, arbitrary: fc.tuple(anyText, nastyJson).map(([name, text]) => `${JSON.stringify(name)}:${text}`) },
      );
  const open = schema.additionalProperties;
  const more =
    typeof open === 'object' && open !== null
      ? fc.array(fc.tuple(anyText, jsonOf(open as Schema, f, '', depth + 1)), { maxLength: 3 })
      : fc.constant([]);
  return fc.tuple(fc.tuple(...fields), extra, more).map(([list, one, rest]) => {
    const all = [...list, one, ...rest.map(([name, text]) => `${JSON.stringify(name)}:${text}`)];
    return `{${all.filter((text) => text !== '').join(',')}}`;
  });
}

function textOf(schema: Schema, f: Filling, name: string): fc.Arbitrary<string> {
  const real = f.known(name);
  const long = (schema.maxLength as number | undefined) ?? 100;
  const right =
    schema.format === 'date-time'
      ? fc
          .date({ noInvalidDate: true, min: new Date('2020-01-01'), max: new Date('2040-01-01') })
          .map((d) => d.toISOString())
      : schema.format === 'uuid'
        ? fc.uuid()
        : typeof schema.pattern === 'string'
          ? matching(schema.pattern, Math.min(long, 200))
          : plainText;
  if (f.isStrict) return real ? fc.oneof({ weight: 4, arbitrary: real }, { weight: 1, arbitrary: right }) : right;
  const edge = fc.constantFrom(long, long + 1).map((length) => 'x'.repeat(Math.min(length, 60_000)));
  return fc.oneof(
    ...(real ? [{ weight: 12, arbitrary: real }] : []),
    { weight: 6, arbitrary: right },
    { weight: 2, arbitrary: anyText },
    { weight: 1, arbitrary: edge },
  );
}

/** Patterns that look ahead are not turned round: plain text has to do. */
function matching(pattern: string, maxLength: number): fc.Arbitrary<string> {
  try {
    return fc.stringMatching(new RegExp(pattern), { maxLength });
  } catch {
    return plainText;
  }
}

function numberOf(schema: Schema, isWhole: boolean, isStrict: boolean): fc.Arbitrary<number> {
  const least = (schema.minimum ?? schema.exclusiveMinimum ?? -10) as number;
  const most = (schema.maximum ?? schema.exclusiveMaximum ?? 1000) as number;
  const [from, to] = [Math.ceil(Math.max(least, -(2 ** 31))), Math.floor(Math.min(most, 2 ** 31))];
  const within = fc.integer({ min: from, max: Math.max(from, to) });
  if (isStrict) return within;
  return fc.oneof(
    { weight: 8, arbitrary: within },
    { weight: 1, arbitrary: fc.constantFrom(least, most, least - 1, most + 1) },
    ...(isWhole ? [] : [{ weight: 1, arbitrary: fc.double({ min: least, max: Math.max(least, most), noNaN: true }) }]),
  );
}
