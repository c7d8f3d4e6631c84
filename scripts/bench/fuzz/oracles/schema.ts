/** Holds an answer against the schema that our document promises (JSON Schema 2020-12, the words that stand in it). */
import type { Resolve, Schema } from '../grammar/json';

/** @returns where and how a value is not what the schema says; nothing where it is */
export function findSchemaFault(value: unknown, schema: Schema, resolve: Resolve, at = ''): string | undefined {
  if (typeof schema.$ref === 'string') return findSchemaFault(value, resolve(schema.$ref), resolve, at);
  if ('const' in schema && JSON.stringify(schema.const) !== JSON.stringify(value)) return `${at}: another constant`;
  if (Array.isArray(schema.enum) && !schema.enum.includes(value))
    return `${at}: ${JSON.stringify(value)} is none of the enum`;
  for (const word of ['anyOf', 'oneOf'] as const) {
    const choices = schema[word] as Schema[] | undefined;
    if (choices && choices.every((one) => findSchemaFault(value, one, resolve, at) !== undefined)) {
      return `${at}: none of ${word}, ${JSON.stringify(value)?.slice(0, 200)}`;
    }
  }
  for (const one of (schema.allOf ?? []) as Schema[]) {
    const fault = findSchemaFault(value, one, resolve, at);
    if (fault) return fault;
  }
  const types = schema.type === undefined ? undefined : [schema.type].flat();
  if (types && !types.some((type) => isOfType(value, type as string))) return `${at}: is no ${types.join(' or ')}`;
  if (typeof value === 'string') return textFault(value, schema, at);
  if (typeof value === 'number') {
    if (typeof schema.minimum === 'number' && value < schema.minimum)
      return `${at}: ${value} is below ${schema.minimum}`;
    if (typeof schema.maximum === 'number' && value > schema.maximum)
      return `${at}: ${value} is above ${schema.maximum}`;
    return undefined;
  }
  if (Array.isArray(value)) {
    const items = schema.items as Schema | undefined;
    return items && firstOf(value, (item, i) => findSchemaFault(item, items, resolve, `${at}[${i}]`));
  }
  if (typeof value === 'object' && value !== null)
    return objectFault(value as Record<string, unknown>, schema, resolve, at);
  return undefined;
}

function isOfType(value: unknown, type: string): boolean {
  if (type === 'null') return value === null;
  if (type === 'array') return Array.isArray(value);
  if (type === 'object') return typeof value === 'object' && value !== null && !Array.isArray(value);
  if (type === 'integer') return Number.isInteger(value);
  return typeof value === type;
}

function textFault(value: string, schema: Schema, at: string): string | undefined {
  if (typeof schema.maxLength === 'number' && [...value].length > schema.maxLength) return `${at}: too long`;
  if (typeof schema.minLength === 'number' && [...value].length < schema.minLength) return `${at}: too short`;
  if (typeof schema.pattern === 'string' && !new RegExp(schema.pattern, 'u').test(value)) {
    return `${at}: ${JSON.stringify(value)} is not of ${schema.pattern}`;
  }
  return undefined;
}

function objectFault(value: Record<string, unknown>, schema: Schema, resolve: Resolve, at: string): string | undefined {
  const properties = (schema.properties ?? {}) as Record<string, Schema>;
  const missing = ((schema.required ?? []) as string[]).find((name) => !Object.hasOwn(value, name));
  if (missing !== undefined) return `${at}.${missing}: is missing`;
  return firstOf(Object.entries(value), ([name, inner]) => {
    const own = Object.hasOwn(properties, name) ? properties[name] : undefined;
    if (own) return findSchemaFault(inner, own, resolve, `${at}.${name}`);
    if (schema.additionalProperties === false) return `${at}.${name}: is not in the schema`;
    if (typeof schema.additionalProperties !== 'object' || schema.additionalProperties === null) return undefined;
    return findSchemaFault(inner, schema.additionalProperties as Schema, resolve, `${at}.${name}`);
  });
}

function firstOf<T>(list: readonly T[], find: (item: T, i: number) => string | undefined): string | undefined {
  for (const [i, item] of list.entries()) {
    const fault = find(item, i);
    if (fault !== undefined) return fault;
  }
  return undefined;
}
