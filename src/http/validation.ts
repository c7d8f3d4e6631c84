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
  return [{ path: dotted(issue.path), message: issue.message }];
}

function dotted(path: readonly PropertyKey[]): string {
  return path.map((part) => String(part).slice(0, 64)).join('.');
}
