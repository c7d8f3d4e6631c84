/** What a former secret has sealed is sealed anew, beside everything else, and it is told when the former one can go. */
import { randomBytes } from 'node:crypto';
import { checkSecrets } from '../../../src/domains/secrets/check';
import { createRotation } from '../../../src/domains/secrets/rotation';
import { sealAnew } from '../../../src/domains/secrets/sealing';
import { SEALED_COLUMNS, writeSealed } from '../../../src/domains/secrets/secrets.store';
import { createIdempotencyStore } from '../../../src/http/request/idempotency.store';
import { createId } from '../../../src/infra/ids';
import { createLogger } from '../../../src/infra/logger';
import { sealDigest, sealedPrefix, secretNames } from '../../../src/infra/secrets';
import { down, up } from '../../../migrations/015_known_secrets';
import { useStores } from '../../stores';
import { DOMAIN, HA1, insertSealedRows, openSealedRows, PLAIN, readSealedTables, type SealedRows } from './sealed-rows';

const stores = useStores();
const [first, second] = [randomBytes(32), randomBytes(32)];
const both = Buffer.concat([second, first]);
const [nameOfSecond, nameOfFirst] = secretNames(both) as [string, string];
const lines: string[] = [];
const logger = createLogger('debug', { write: (line: string) => void lines.push(line) });
const go = new AbortController().signal;
const at = (secretKey: Buffer) => ({ db: stores.db, secretKey, logger });
const replica = (secretKey: Buffer) => createRotation({ ...at(secretKey), acquireLease: () => Promise.resolve(true) });
const known = async () => (await stores.db('known_secrets')).map((row) => row.name as string).sort();
/** As if no replica had written with it for an hour. */
const rest = (name: string) =>
  stores
    .db('known_secrets')
    .where({ name })
    .update({ used_at: stores.db.raw("now() - interval '1 hour'") });

let rows: SealedRows;
async function fill(secretKey: Buffer, form: 'now' | 'before'): Promise<void> {
  for (const table of ['known_secrets', 'idempotency_keys', 'relays', 'grants', 'rooms', 'users', 'nodes', 'domains']) {
    await stores.db(table).delete();
  }
  rows = await insertSealedRows(stores.db, secretKey, form);
}
beforeEach(() => void (lines.length = 0));

test('all that is sealed, or stood in clear, is sealed with the new secret, and nothing of it changes', async () => {
  await fill(first, 'before');
  expect(await readSealedTables(stores.db)).toContain(HA1.alice);
  expect(await sealAnew(at(both), go)).toEqual({ sealed: 6, missed: 0, unreadable: 0, isWhole: true });
  expect(await openSealedRows(stores.db, second, rows)).toEqual(PLAIN);
  const tables = await readSealedTables(stores.db);
  for (const plain of [...Object.values(HA1), 'of the node', 'of the stream']) expect(tables).not.toContain(plain);
  expect(tables.split(sealedPrefix(second))).toHaveLength(7);
  expect((await stores.db('users').first()).updated_at).toEqual(new Date(1_700_000_000_000));
  expect(await sealAnew(at(both), go)).toMatchObject({ sealed: 0 });
});

test('from one secret to the next, also over tables that are walked in many steps', async () => {
  await fill(first, 'now');
  const [{ id: domainId }] = await stores.db('domains').select('id');
  const many = Array.from({ length: 1234 }, (_, i) => ({
    id: createId(),
    domain_id: domainId,
    username: `u${i}`,
    ha1: sealDigest(first, { username: `u${i}`, domain: DOMAIN }, HA1.alice),
  }));
  await stores.db.batchInsert('users', many, 500);
  expect(await sealAnew(at(both), go)).toMatchObject({ sealed: 1240 });
  expect(await openSealedRows(stores.db, second, rows)).toEqual(PLAIN);
  const left = await stores.db('users').whereNot('ha1', 'like', `${sealedPrefix(second)}%`);
  expect(left).toEqual([]);
});

test('what somebody changes at that moment stays as they have changed it', async () => {
  await fill(first, 'now');
  const users = SEALED_COLUMNS.find(({ table }) => table === 'users')!;
  const { id, ha1: was } = await stores.db('users').first();
  await stores.db('users').update({ ha1: 'a new password' });
  expect(await writeSealed(stores.db, users, [{ id, was, sealed: 'the old one, sealed anew' }])).toBe(0);
  expect((await stores.db('users').first()).ha1).toBe('a new password');
});

test('two at once do it once, and one that is stopped goes on where it was', async () => {
  await fill(first, 'now');
  const [a, b] = await Promise.all([sealAnew(at(both), go), sealAnew(at(both), go)]);
  expect(a.sealed + b.sealed).toBe(6);
  await fill(first, 'now');
  expect(await sealAnew(at(both), AbortSignal.abort())).toMatchObject({ sealed: 0, isWhole: false });
  expect(await sealAnew(at(both), go)).toMatchObject({ sealed: 6, isWhole: true });
});

test('what no secret opens is named and let be, and does not keep the rest from being sealed', async () => {
  await fill(first, 'now');
  await stores.db('rooms').update({ pin_sealed: 'v2.000000000000.AAAA.AAAA.AAAA' });
  expect(await sealAnew(at(both), go)).toMatchObject({ sealed: 5, unreadable: 1 });
  expect(lines.join('')).toMatch(new RegExp(`"column":"pin_sealed","count":1,"ids":\\["${rows.roomId}"\\]`));
});

test('the old secret can go when all is sealed anew and nobody writes with it', async () => {
  await fill(first, 'now');
  await checkSecrets(stores.db, first, logger);
  await checkSecrets(stores.db, both, logger);
  const [old, young] = [replica(Buffer.concat([first, second])), replica(both)];

  await old.step(go); // it still runs, and writes with the old one
  await young.step(go);
  await young.step(go);
  expect(await openSealedRows(stores.db, second, rows)).toEqual(PLAIN);
  expect(await known()).toEqual([nameOfFirst, nameOfSecond].sort());
  await stores.db('rooms').update({ pin_sealed: null });
  await stores.db('users').update({ ha1: sealDigest(first, { username: 'alice', domain: DOMAIN }, HA1.alice) });

  await rest(nameOfFirst); // now it is gone
  const later = replica(both);
  await later.step(go);
  expect(await known()).toHaveLength(2); // something was left: it is looked through once more
  await later.step(go);
  expect(await known()).toEqual([nameOfSecond]);
  expect(lines.join('')).toContain('SWITCHYARD_SECRET_OLD is no longer needed');
  expect((await stores.db('users').first()).ha1).toContain(sealedPrefix(second));
  await checkSecrets(stores.db, second, logger);
});

test('answers that are kept for a day hold the old secret as long as they can be asked for', async () => {
  await fill(first, 'now');
  const kept = { status: 201, body: { key: 'shown once' }, headers: {} };
  const apiKeyId = createId();
  const hint = { hint: '', scopes: ['admin'] };
  await stores.db('api_keys').insert({ id: apiKeyId, name: 'k', key_hash: apiKeyId, ...hint });
  const before = createIdempotencyStore({ db: stores.db, secretKey: first });
  await before.claim(apiKeyId, 'key', 'the request');
  await before.keep(apiKeyId, 'key', kept);

  await checkSecrets(stores.db, first, logger);
  await checkSecrets(stores.db, both, logger);
  await rest(nameOfFirst);
  const young = replica(both);
  for (let i = 0; i < 3; i += 1) await young.step(go);
  expect(await known()).toHaveLength(2);
  expect(lines.filter((line) => line.includes('Idempotency-Key'))).toHaveLength(1);

  const now = createIdempotencyStore({ db: stores.db, secretKey: both });
  expect(await now.claim(apiKeyId, 'key', 'the request')).toEqual({ kind: 'replay', answer: kept });
  expect(await now.claim(apiKeyId, 'key', 'another request')).toEqual({ kind: 'mismatch' });
  await stores.db('idempotency_keys').update({ created_at: new Date(Date.now() - 25 * 3_600_000) });
  await now.sweep();
  await young.step(go);
  expect(await known()).toEqual([nameOfSecond]);
});

test('a replica that another has left behind seals nothing, and one that can not read the other says so once', async () => {
  await fill(first, 'now');
  await checkSecrets(stores.db, first, logger);
  const old = replica(first);
  await checkSecrets(stores.db, both, logger);
  await sealAnew(at(both), go);
  for (let i = 0; i < 3; i += 1) await old.step(go);
  expect(await openSealedRows(stores.db, second, rows)).toEqual(PLAIN);
  expect(lines.filter((line) => line.includes('does not know'))).toHaveLength(1);
});

test('one that may not take its turn says only what it writes with', async () => {
  await fill(first, 'before');
  await checkSecrets(stores.db, first, logger);
  await rest(nameOfFirst);
  await createRotation(at(first)).step(go);
  await createRotation({ ...at(first), acquireLease: () => Promise.resolve(false) }).step(go);
  expect(await readSealedTables(stores.db)).toContain(HA1.alice);
  const [{ used_at }] = await stores.db('known_secrets').select('used_at');
  expect(Date.now() - used_at.getTime()).toBeLessThan(60_000 * 30);
});

test('the migration goes back to what the version before can read, and only with the secret', async () => {
  await fill(first, 'now');
  await expect(stores.db.transaction((trx) => down(trx))).rejects.toThrow('SWITCHYARD_SECRET is needed');
  process.env.SWITCHYARD_SECRET = second.toString('base64');
  process.env.SWITCHYARD_SECRET_OLD = first.toString('base64');
  try {
    await stores.db.transaction((trx) => down(trx));
  } finally {
    delete process.env.SWITCHYARD_SECRET;
    delete process.env.SWITCHYARD_SECRET_OLD;
  }
  expect(await openSealedRows(stores.db, second, rows)).toEqual(PLAIN);
  expect((await stores.db('users').first()).ha1).toBe(HA1.alice);
  expect((await stores.db('nodes').first()).esl_password_sealed).toMatch(/^v1\./);
  await stores.db.transaction((trx) => up(trx));
  expect(await known()).toEqual([]);
});
