/** Input is what its schema says or it is refused: unknown fields are faults, and every fault is named at once. */
import type { z } from 'zod';
import { SwitchyardError, type FieldFault } from '../errors';

const MAX_FAULTS = 20;

/** @throws SwitchyardError invalid_request naming every fault */
export function validate(schema: z.ZodObject, input: unknown, where: 'body' | 'query' | 'path'): unknown {
  const result = schema.strict().safeParse(input ?? {});
  if (result.success) return result.data;
  const errors = result.error.issues.flatMap(nameIssue).slice(0, MAX_FAULTS);
  const first = errors[0];
  const detail = first ? `In the ${where}: ${first.path ? `${first.path}: ` : ''}${first.message}` : undefined;
  throw new SwitchyardError('invalid_request', detail, { errors });
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
