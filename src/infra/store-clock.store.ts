/** Asks the database what time it is. */
import type { Db } from './stores/db';

/** Milliseconds since 1970, with fractions: of this moment, not of the transaction's beginning. */
export async function readStoreMs(db: Db): Promise<number> {
  const { rows } = (await db.raw('select (extract(epoch from clock_timestamp()) * 1000)::float8 as ms')) as {
    rows: { ms: number }[];
  };
  return rows[0]!.ms;
}
