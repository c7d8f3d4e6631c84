/** Runs migrations by a name without extension: knex keeps names, and .ts once and .js later would be "corrupt". */
import { readdirSync } from 'node:fs';
import { join, parse } from 'node:path';
import type { Knex } from 'knex';
import type { Db } from './db';

function listMigrations(folder: string): Knex.MigrationSource<string> {
  return {
    getMigrations: () => {
      const names = readdirSync(folder)
        .filter((f) => /^\d+_.*\.(ts|js)$/.test(f) && !f.endsWith('.d.ts'))
        .map((f) => parse(f).name);
      return Promise.resolve([...new Set(names)].sort());
    },
    getMigrationName: (name) => name,
    // Node's own import() wants the extension, which is .js when built and .ts before: require.resolve finds it.
    getMigration: (name) => import(require.resolve(join(folder, name))) as Promise<Knex.Migration>,
  };
}

/** Brings the schema up to date; several replicas may call it at once (knex takes a lock, the others wait). */
export async function migrateDb(db: Db): Promise<void> {
  const folder = join(__dirname, '..', '..', '..', 'migrations');
  await db.transaction(async (trx) => {
    // Held by this connection until the end, also if we die; another replica waits here and finds nothing to do.
    await trx.raw('set local idle_in_transaction_session_timeout = 0'); // the work is done by another connection
    await trx.raw('select pg_advisory_xact_lock(727274)');
    await db.migrate.latest({ migrationSource: listMigrations(folder) });
  });
}
