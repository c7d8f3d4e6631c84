/** Gives a test file a migrated database and a Redis prefix of its own, so that files can run side by side. */
import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import { Client } from 'pg';
import { createDb, type Db, type DbPatience } from '../src/infra/stores/db';
import { migrateDb } from '../src/infra/stores/migrate';

/** A database is away for a test where it says so, and not because the machine is busy. */
export const PATIENCE: DbPatience = { connectMs: 30_000, statementMs: 60_000, idleInTransactionMs: 60_000 };

export interface TestStores {
  /** A fresh database with all tables. */
  readonly databaseUrl: string;
  readonly redisUrl: string;
  /** For REDIS_PREFIX: no other test file uses it. */
  readonly redisPrefix: string;
  /** Connected to the database; closed when the file is done. */
  readonly db: Db;
}

/** Call at the top of a file or `describe`; the values are there from `beforeAll` on. */
export function useStores(): TestStores {
  const name = `t_${randomBytes(6).toString('hex')}`;
  const redisPrefix = name.replace('_', '-');
  let databaseUrl = '';
  let db: Db | undefined;

  beforeAll(async () => {
    await administer(`create database ${name}`);
    const url = new URL(mustHave('DATABASE_URL'));
    url.pathname = `/${name}`;
    databaseUrl = url.toString();
    db = createDb(databaseUrl, 10, PATIENCE);
    await migrateDb(db);
  });

  afterAll(async () => {
    await db?.destroy();
    await administer(`drop database if exists ${name} with (force)`);
    await forgetKeys(redisPrefix);
  });

  return {
    get databaseUrl() {
      return databaseUrl;
    },
    get redisUrl() {
      return mustHave('REDIS_URL');
    },
    redisPrefix,
    get db() {
      if (!db) throw new Error('The database is there from beforeAll on.');
      return db;
    },
  };
}

function mustHave(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: jest's global setup should have done it.`);
  return value;
}

async function administer(statement: string): Promise<void> {
  const client = new Client({ connectionString: mustHave('DATABASE_URL'), connectionTimeoutMillis: 30_000 });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

async function forgetKeys(prefix: string): Promise<void> {
  const redis = new Redis(mustHave('REDIS_URL'), { maxRetriesPerRequest: 1 });
  redis.on('error', () => undefined);
  try {
    for await (const keys of redis.scanStream({ match: `${prefix}*`, count: 500 })) {
      if ((keys as string[]).length) await redis.del(...(keys as string[]));
    }
  } catch {
    // a test may have taken Redis away
  } finally {
    redis.disconnect();
  }
}
