/** Input is what its schema says or it is refused: unknown fields are faults, and every fault is named at once. */
import type { z } from 'zod';
import { SwitchyardError, type FieldFault } from '../../errors';
import { findJsonFaults, MAX_JSON_DEPTH, type JsonFault } from '../../infra/text/json-faults';

const MAX_FAULTS = 20;

/** @throws SwitchyardError invalid_request naming every fault */
export function validate(schema: z.ZodObject, input: unknown, where: 'body' | 'query' | 'path'): unknown {
  const texts = findTextFaults(input, where);
  const result = schema.strict().safeParse(input ?? {});
  if (result.success && texts.length === 0) return result.data;
  const named = new Set(texts.map(({ path }) => path));
  const others = result.success ? [] : result.error.issues.flatMap(nameIssue);
  throw refuse(where, [...texts, ...others.filter(({ path }) => !named.has(path))]);
}

/** For input that has no schema, or is not named where it does not fit one. @throws SwitchyardError invalid_request */
export function refuseBadTexts(input: unknown, where: 'body' | 'query' | 'path'): void {
  const faults = findTextFaults(input, where);
  if (faults.length > 0) throw refuse(where, faults);
}

/**
 * What no text may hold is looked for in one place for all schemas: one that forgets it would leave it to the database.
 * @throws SwitchyardError where it is nested so deep that a schema, which calls itself, would break off
 */
function findTextFaults(input: unknown, where: 'body' | 'query' | 'path'): FieldFault[] {
  const found = findJsonFaults(input, MAX_FAULTS);
  const faults = found.map(({ path, what }) => ({ path: dotted(path), message: TEXT_FAULTS[what] }));
  if (found.some(({ what }) => what === 'too_deep')) throw refuse(where, faults);
  return faults;
}

const TEXT_FAULTS: Record<JsonFault['what'], string> = {
  nul: 'must not hold the character U+0000',
  half_character: 'must not hold half a surrogate pair, which is no character',
  too_deep: `is nested deeper than ${MAX_JSON_DEPTH}`,
};

function refuse(where: 'body' | 'query' | 'path', faults: FieldFault[]): SwitchyardError {
  const errors = faults.slice(0, MAX_FAULTS);
  const first = errors[0];
  const detail = first ? `In the ${where}: ${first.path ? `${first.path}: ` : ''}${first.message}` : undefined;
  return new SwitchyardError('invalid_request', detail, { errors });
}

function nameIssue(issue: z.core.$ZodIssue): FieldFault[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: dotted([...issue.path, key]), message: 'is not a known field' }));
  }
  return [{ path: dotted(issue.path), message: sayIssue(issue) }];
}

const KINDS: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
};
const FORMATS: Readonly<Record<string, string>> = {
  datetime: 'must be a time like 2026-01-31T12:00:00Z',
  uuid: 'must be an id (a UUID)',
};

/** What a schema says itself is kept; the library's own words are for those who write schemas. */
function sayIssue(issue: z.core.$ZodIssue): string {
  if (!/^(Invalid |Too (small|big):)/.test(issue.message)) return issue.message;
  switch (issue.code) {
    case 'invalid_type':
      if (issue.message.endsWith('received undefined')) return 'is needed';
      return `must be ${KINDS[issue.expected] ?? issue.expected}`;
    case 'too_small':
      return sayLimit(issue.origin, Number(issue.minimum), 'least');
    case 'too_big':
      return sayLimit(issue.origin, Number(issue.maximum), 'most');
    case 'invalid_value':
      return `must be ${issue.values.length > 1 ? 'one of ' : ''}${issue.values.map(String).join(', ')}`;
    case 'not_multiple_of':
      return `must be a multiple of ${issue.divisor}`;
    case 'invalid_format':
      return FORMATS[issue.format] ?? issue.message;
    default:
      return issue.message;
  }
}

function sayLimit(origin: string, limit: number, which: 'least' | 'most'): string {
  const unit = { string: 'character', array: 'entry' }[origin];
  if (unit === undefined) return `must be ${limit} at ${which}`;
  const units = limit === 1 ? unit : unit === 'entry' ? 'entries' : `${unit}s`;
  return `must have ${limit} ${units} at ${which}`;
}

function dotted(path: readonly PropertyKey[]): string {
  return path.map((part) => String(part).slice(0, 64)).join('.');
}
