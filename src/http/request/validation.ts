/** Input is what its schema says or it is refused: unknown fields are faults, and every fault is named at once. */
import type { z } from 'zod';
import { SwitchyardError, type FieldFault } from '../../errors';
import { describeIssue } from '../../schema-faults';
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
  nul: 'must not contain the character U+0000',
  half_character: 'must not contain half a surrogate pair, which is not a character',
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
  return [{ path: dotted(issue.path), message: describeIssue(issue) }];
}

function dotted(path: readonly PropertyKey[]): string {
  return path.map((part) => String(part).slice(0, 64)).join('.');
}
