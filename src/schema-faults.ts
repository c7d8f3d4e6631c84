/** Says what is wrong with a value in words for whoever sent it; a schema library's own words are for those who write schemas. */
import type { z } from 'zod';

const KINDS: Readonly<Record<string, string>> = {
  string: 'a string',
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
  url: 'must be a URL like https://host.example.org',
};

/** A message that the schema itself gives is kept. */
export function describeIssue(issue: z.core.$ZodIssue): string {
  if (!/^(Invalid |Too (small|big):)/.test(issue.message)) return issue.message;
  switch (issue.code) {
    case 'invalid_type':
      if (issue.message.endsWith('received undefined')) return 'is required';
      return `must be ${KINDS[issue.expected] ?? issue.expected}`;
    case 'too_small':
      return describeLimit(issue.origin, Number(issue.minimum), 'least');
    case 'too_big':
      return describeLimit(issue.origin, Number(issue.maximum), 'most');
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

function describeLimit(origin: string, limit: number, which: 'least' | 'most'): string {
  const unit = { string: 'character', array: 'entry' }[origin];
  if (unit === undefined) return `must be at ${which} ${limit}`;
  const units = limit === 1 ? unit : unit === 'entry' ? 'entries' : `${unit}s`;
  return `must have at ${which} ${limit} ${units}`;
}
