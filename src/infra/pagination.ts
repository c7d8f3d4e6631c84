/** Lists are read page by page with a cursor, the same way everywhere: ids sort by time, so a cursor is a last id. */
import { z } from 'zod';
import { SwitchyardError } from '../errors';
import { isOwnId } from './ids';

/** The query fields of every list; spread into a route's query schema. */
export const pageQuery = {
  limit: z.coerce.number().int().min(1).max(200).default(50).describe('Maximum number of items.'),
  cursor: z.string().max(200).optional().describe('`nextCursor` of the previous page; omit it for the first page.'),
};

/** The schema of a list's answer. */
export function pageOf<T extends z.ZodType>(item: T) {
  return z.object({
    items: z.array(item),
    nextCursor: z.string().nullable().describe('The cursor of the next page; null on the last page.'),
  });
}

/** @returns the id after which the page begins. @throws SwitchyardError invalid_cursor */
export function readCursor(cursor: string | undefined): string | undefined {
  if (cursor === undefined) return undefined;
  const id = Buffer.from(cursor, 'base64url').toString('latin1');
  if (!isOwnId(id)) throw new SwitchyardError('invalid_cursor');
  return id;
}

/** @param rows one row more than `limit` where there is a further page */
export function makePage<R extends { id: string }, T>(
  rows: readonly R[],
  limit: number,
  show: (row: R) => T,
): { items: T[]; nextCursor: string | null } {
  const shown = rows.slice(0, limit);
  const last = rows.length > limit ? shown.at(-1) : undefined;
  return { items: shown.map(show), nextCursor: last ? Buffer.from(last.id, 'latin1').toString('base64url') : null };
}
