/** Postgres through knex for what is written, and through pg's named statements for the one hot look-up. */
import { knex, type Knex } from 'knex';
import { Pool } from 'pg';
import { SwitchyardError } from '../../errors';

export type Db = Knex;
export type Trx = Knex.Transaction;
/** Where a query may run inside or outside of a transaction. */
export type Queryable = Knex | Knex.Transaction;

const ignore = (): void => undefined;
const CONNECT_TIMEOUT_MS = 2000;
const STATEMENT_TIMEOUT_MS = 10_000;
/** A node waits for its answer: what is not known by then is answered from memory. */
const LOOKUP_TIMEOUT_MS = 3000;
/**
 * A replica that stands still in the middle of a transaction (its machine is paused) holds the head of the log, and with
 * it every other replica, until Postgres ends that transaction. None of ours waits for anything but the database.
 */
const IDLE_IN_TRANSACTION_MS = 3000;

/** When a database counts as away, in milliseconds. */
export interface DbPatience {
  connectMs: number;
  statementMs: number;
  idleInTransactionMs: number;
}

const PATIENCE: DbPatience = {
  connectMs: CONNECT_TIMEOUT_MS,
  statementMs: STATEMENT_TIMEOUT_MS,
  idleInTransactionMs: IDLE_IN_TRANSACTION_MS,
};

/** pg looks the host of a URL up with its brackets, as a name: as a parameter it is taken as it is. */
export function readableUrl(databaseUrl: string): string {
  const url = URL.canParse(databaseUrl) ? new URL(databaseUrl) : undefined;
  const address = /^\[(.*)\]$/.exec(url?.hostname ?? '')?.[1];
  if (!url || address === undefined || url.searchParams.has('host')) return databaseUrl;
  url.searchParams.set('host', address);
  return url.toString();
}

/** @param patience longer where nobody is to be told "away" for a machine that is only slow: tests */
export function createDb(databaseUrl: string, poolSize: number, patience: DbPatience = PATIENCE): Db {
  return knex({
    client: 'pg',
    connection: {
      connectionString: readableUrl(databaseUrl),
      connectionTimeoutMillis: patience.connectMs,
      statement_timeout: patience.statementMs,
      query_timeout: patience.statementMs + 1000,
      idle_in_transaction_session_timeout: patience.idleInTransactionMs,
      keepAlive: true,
    },
    pool: { min: 0, max: poolSize, acquireTimeoutMillis: patience.connectMs + 1000, idleTimeoutMillis: 30_000 },
    acquireConnectionTimeout: patience.connectMs + 1000,
    // Its own way of saying things is bare lines on the console; whoever asked gets the fault and says it.
    log: { warn: ignore, error: ignore, deprecate: ignore, debug: ignore },
  });
}

/** A pool of plain pg connections: a named prepared statement answers 1.7 times as many look-ups as knex's builder. */
export function createLookupPool(
  databaseUrl: string,
  size: number,
  patience: Pick<DbPatience, 'connectMs' | 'statementMs'> = { ...PATIENCE, statementMs: LOOKUP_TIMEOUT_MS },
): Pool {
  return openPool(databaseUrl, size, { connectMs: patience.connectMs, queryMs: patience.statementMs });
}

/** The same for named statements that write: Postgres ends one that takes too long, so that it is not done unseen later. */
export function createStatementPool(databaseUrl: string, size: number, patience: DbPatience = PATIENCE): Pool {
  const { connectMs, statementMs } = patience;
  return openPool(databaseUrl, size, { connectMs, queryMs: statementMs + 1000, statementMs });
}

function openPool(
  databaseUrl: string,
  size: number,
  o: { connectMs: number; queryMs: number; statementMs?: number },
): Pool {
  const pool = new Pool({
    connectionString: readableUrl(databaseUrl),
    max: size,
    connectionTimeoutMillis: o.connectMs,
    query_timeout: o.queryMs,
    statement_timeout: o.statementMs,
    keepAlive: true,
  });
  pool.on('error', () => undefined); // an idle connection that broke is replaced at its next use
  return pool;
}

const UNREACHABLE = new Set(['ECONNREFUSED', 'ECONNRESET', 'ETIMEDOUT', 'EPIPE', 'ENOTFOUND', 'ENOENT']);

/** True for faults that say "the database is away", and nothing of the query or its data. */
export function isUnreachable(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false;
  const { code, name, message } = error as { code?: unknown; name?: unknown; message?: unknown };
  if (
    typeof code === 'string' &&
    (UNREACHABLE.has(code) || code.startsWith('08') || /^(57P0[123]|57014|25P03)$/.test(code))
  )
    return true;
  return (
    name === 'KnexTimeoutError' ||
    name === 'AggregateError' ||
    name === 'ConcurrencyTimeout' ||
    /Connection terminated|timeout exceeded when trying to connect|^timeout expired$|Query read timeout|Client has encountered a connection error/i.test(
      String(message),
    )
  );
}

/** True where Postgres has ended a transaction because two waited for each other: nothing of it is done, and it can be run again. */
export function isDeadlock(error: unknown): boolean {
  return /^40(P01|001)$/.test(String((error as { code?: unknown } | null)?.code));
}

/** The constraint a unique violation broke, or undefined where it is another fault. */
export function violatedUnique(error: unknown): string | undefined {
  const fault = error as { code?: string; constraint?: string };
  return fault?.code === '23505' ? (fault.constraint ?? 'unknown') : undefined;
}

/** Gives a fault of the database its code: `unavailable` where it is away, else as it came. */
export function nameDbFault(error: unknown): unknown {
  return isUnreachable(error)
    ? new SwitchyardError('unavailable', 'The database is unavailable.', { cause: error })
    : error;
}

/** @throws where the database does not answer */
export async function pingDb(db: Db): Promise<void> {
  await db.raw('select 1');
}
