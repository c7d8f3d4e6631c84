/**
 * Which secrets the database is sealed with, so that a start with another one says so at once; and which keys were made
 * of BOOTSTRAP_API_KEY. Digests that stand in clear are not sealed here, since a migration knows no secret: a supervisor
 * does it within minutes, in batches.
 */
import { createCipheriv, randomBytes } from 'node:crypto';
import type { Knex } from 'knex';
import { decryptSecret, type SealPurpose } from '../src/infra/secrets';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
create table known_secrets (
  name text primary key,
  is_current boolean not null,
  since timestamptz not null default now(),
  used_at timestamptz not null default now()
);
create unique index known_secrets_one_current on known_secrets (is_current) where is_current;
alter table api_keys add column made_at_start boolean not null default false;
`);
}

const COLUMNS: { table: string; column: string; purpose: SealPurpose }[] = [
  { table: 'users', column: 'ha1', purpose: 'digest' },
  { table: 'grants', column: 'ha1', purpose: 'digest' },
  { table: 'nodes', column: 'esl_password_sealed', purpose: 'node-password' },
  { table: 'rooms', column: 'pin_sealed', purpose: 'room-pin' },
  { table: 'rooms', column: 'moderator_pin_sealed', purpose: 'moderator-pin' },
  { table: 'relays', column: 'stream_key_sealed', purpose: 'stream-key' },
];
const BATCH = 1000;

/** Gives back what the version before can read. It takes SWITCHYARD_SECRET (and …_OLD) where anything is sealed. */
export async function down(knex: Knex): Promise<void> {
  for (const one of COLUMNS) await openColumn(knex, one);
  await knex.raw(`
delete from idempotency_keys where request_hash like '%.%';
alter table api_keys drop column made_at_start;
drop table known_secrets;
`);
}

function readSecrets(): Buffer {
  const { SWITCHYARD_SECRET = '', SWITCHYARD_SECRET_OLD = '' } = process.env;
  const secrets = [SWITCHYARD_SECRET, ...SWITCHYARD_SECRET_OLD.split(',')].filter((text) => text.trim() !== '');
  if (secrets.length === 0)
    throw new Error('SWITCHYARD_SECRET is needed: without it nothing that is sealed can be opened.');
  return Buffer.concat(secrets.map((text) => Buffer.from(text, 'base64')));
}

async function openColumn(knex: Knex, o: (typeof COLUMNS)[number]): Promise<void> {
  const isDigest = o.purpose === 'digest';
  const of = isDigest ? "t.username || '@' || (select name from domains d where d.id = t.domain_id)" : 't.id::text';
  for (;;) {
    const { rows } = await knex.raw<{ rows: { id: string; sealed: string; of: string }[] }>(
      `select t.id, t.${o.column} as sealed, ${of} as of from ${o.table} t where t.${o.column} like 'v2.%' limit ${BATCH}`,
    );
    if (rows.length === 0) return;
    const secretKey = readSecrets();
    const plain = rows.map((row) => ({
      id: row.id,
      text: writeAsBefore(
        secretKey,
        isDigest,
        decryptSecret(secretKey, { purpose: o.purpose, of: row.of }, row.sealed),
      ),
    }));
    await knex.raw(
      `update ${o.table} t set ${o.column} = r.text from jsonb_to_recordset(?::jsonb) as r(id uuid, text text)
       where t.id = r.id`,
      [JSON.stringify(plain)],
    );
  }
}

function writeAsBefore(secretKey: Buffer, isDigest: boolean, plain: string): string {
  if (isDigest) return plain;
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', secretKey.subarray(0, 32), iv);
  const text = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()]);
  return ['v1', ...[iv, cipher.getAuthTag(), text].map((part) => part.toString('base64url'))].join('.');
}
