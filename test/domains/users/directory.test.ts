/** Holds the directory to its promises: one second of freshness, nobody told "not found" that can't be known. */
import crypto, { randomBytes } from 'node:crypto';
import type { Pool } from 'pg';
import { createDirectory } from '../../../src/domains/users/directory';
import { createLookupPool } from '../../../src/infra/stores/db';
import { createId } from '../../../src/infra/ids';
import { hashSipPassword, sealDigest } from '../../../src/infra/secrets';
import { PATIENCE, useStores } from '../../stores';
import { until } from '../../until';

const stores = useStores();
const SECRET = randomBytes(32);
let pool: Pool;
let now = 1_000_000;
let queries = 0;
/** How many of them Postgres has answered. */
let answers = 0;
/** What the next query meets instead of Postgres. */
let fault: Error | undefined;
let held: Promise<void> | undefined;

const watched = {
  async query(o: unknown) {
    queries += 1;
    if (fault) throw fault;
    const answer = await pool.query(o as never);
    answers += 1;
    await held;
    return answer;
  },
} as unknown as Pool;
const open = () => createDirectory(watched, () => now, SECRET);
const away = () => Object.assign(new Error('away'), { code: 'ECONNREFUSED' });
const rename = (name: string) => stores.db('users').where({ username: '1001' }).update({ display_name: name });

beforeAll(async () => {
  pool = createLookupPool(stores.databaseUrl, 3, PATIENCE);
  const [a, b] = [createId(), createId()];
  await stores.db('domains').insert([
    { id: a, name: 'a.test' },
    { id: b, name: 'b.test' },
  ]);
  const user = (domain_id: string, username: string) => ({ id: createId(), domain_id, username, ha1: 'f'.repeat(32) });
  await stores.db('users').insert([user(a, '1001'), user(a, '1002'), user(b, '1001')]);
});
beforeEach(async () => {
  [queries, answers, fault, held] = [0, 0, undefined, undefined];
  await rename('');
});
afterAll(() => pool.end());

test('who asks at once is answered by one query, each about the one asked for', async () => {
  const directory = open();
  const asked: [string, string][] = [
    ['1002', 'a.test'],
    ['9', 'a.test'],
    ['1001', 'B.test'],
    ['1001', 'a.test'],
    ['1001', 'c.test'],
    ['1002', 'a.test'],
  ];
  const users = await Promise.all(asked.map(([username, domain]) => directory.findUser(username, domain)));
  expect(users.map((u) => u && `${u.username}@${u.domain}`)).toEqual([
    '1002@a.test',
    undefined,
    '1001@b.test',
    '1001@a.test',
    undefined,
    '1002@a.test',
  ]);
  expect(users[0]).toMatchObject({ callerNumber: '1002', enabled: true, ha1: 'f'.repeat(32) });
  expect(queries).toBe(1);
});

const setDigest = (username: string, kept: string) => stores.db('users').where({ username }).update({ ha1: kept });

test('a digest is opened for its own user, and one that does not open harms no neighbour', async () => {
  const ha1 = hashSipPassword('1002', 'a.test', 'a long password');
  const sealed = sealDigest(SECRET, { username: '1002', domain: 'a.test' }, ha1);
  await setDigest('1002', sealed);
  await setDigest('1001', sealed); // copied to another's row
  const directory = open();
  const [bob, mallory] = await Promise.all([
    directory.findUser('1002', 'a.test'),
    directory.findUser('1001', 'a.test'),
  ]);
  expect(bob).toMatchObject({ ha1 });
  expect(mallory).toMatchObject({ username: '1001', ha1: null });
  await setDigest('1001', 'f'.repeat(32));
});

test('a new password is known within the second, and an unchanged one is not opened again', async () => {
  const digest = (word: string) => hashSipPassword('1002', 'a.test', word);
  const seal = (word: string) => sealDigest(SECRET, { username: '1002', domain: 'a.test' }, digest(word));
  await setDigest('1002', seal('first'));
  const opened = jest.spyOn(crypto, 'createDecipheriv');
  const directory = open();
  for (let i = 0; i < 5; i += 1) {
    expect(await directory.findUser('1002', 'a.test')).toMatchObject({ ha1: digest('first') });
    now += 2000;
  }
  expect(queries).toBe(5);
  expect(opened).toHaveBeenCalledTimes(1);
  await setDigest('1002', seal('second'));
  expect(await directory.findUser('1002', 'a.test')).toMatchObject({ ha1: digest('second') });
  opened.mockRestore();
  await setDigest('1002', 'f'.repeat(32));
});

test('an answer is good for one second, from when it was asked for', async () => {
  const directory = open();
  expect(directory.readFresh('1001', 'a.test')).toBeUndefined();
  let release = () => undefined as void;
  held = new Promise((resolve) => (release = resolve));
  const first = directory.findUser('1001', 'a.test');
  await new Promise((resolve) => setImmediate(resolve));
  now += 400; // Postgres takes its time
  release();
  await first;
  await rename('New');
  now += 599;
  expect(directory.readFresh('1001', 'A.test')).toMatchObject({ displayName: '' });
  now += 1;
  expect(directory.readFresh('1001', 'a.test')).toBeUndefined();
  expect(await directory.findUser('1001', 'a.test')).toMatchObject({ displayName: 'New' });
  expect(await directory.findUser('7', 'a.test')).toBeUndefined();
  expect(directory.readFresh('7', 'a.test')).toBeNull();
});

test('a change is seen at once, also by who asks while an older question is under way', async () => {
  const directory = open();
  let release = () => undefined as void;
  held = new Promise((resolve) => (release = resolve));
  const old = directory.findUser('1001', 'a.test');
  await until('Postgres has told the old name', () => answers === 1);
  await rename('Changed');
  directory.forget('1001', 'A.test');
  const young = directory.findUser('1001', 'a.test');
  release();
  expect(await old).toMatchObject({ displayName: '' });
  expect(await young).toMatchObject({ displayName: 'Changed' });
  expect(directory.readFresh('1001', 'a.test')).toMatchObject({ displayName: 'Changed' });
  directory.forget('1001', 'a.test');
  expect(directory.readFresh('1001', 'a.test')).toBeUndefined();
});

test('with Postgres away, who was seen is answered and nobody is told "not found"', async () => {
  const directory = open();
  await directory.findUser('1001', 'a.test');
  await directory.findUser('9', 'a.test');
  directory.forget('1002', 'a.test');
  now += 5000;
  fault = away();
  expect(await directory.findUser('1001', 'a.test')).toMatchObject({ username: '1001' });
  await expect(directory.findUser('9', 'a.test')).rejects.toMatchObject({ code: 'unavailable' });
  await expect(directory.findUser('1002', 'a.test')).rejects.toMatchObject({ code: 'unavailable' });
  fault = undefined;
  expect(await directory.findUser('1002', 'a.test')).toMatchObject({ username: '1002' });
});

test('a name nobody can have harms no neighbour', async () => {
  const directory = open();
  const bad = ['a\u0000b', 'x\ny', 'y'.repeat(600), '\ud83d', "'; drop table users; --", '{1001,1002}', '"', '\\'];
  const asked = [...bad.map((name) => directory.findUser(name, 'a.test')), directory.findUser('1001', 'a.test')];
  const answers = await Promise.all(asked);
  expect(answers.slice(0, -1)).toEqual(bad.map(() => undefined));
  expect(answers.at(-1)).toMatchObject({ username: '1001' });
});

test('whoever guesses names makes us forget no user', async () => {
  const directory = open();
  await directory.findUser('1001', 'a.test');
  for (let i = 0; i < 120; i += 1) {
    await Promise.all(Array.from({ length: 1000 }, (_, n) => directory.findUser(`guess-${i}-${n}`, 'a.test')));
  }
  now += 5000;
  fault = away();
  expect(await directory.findUser('1001', 'a.test')).toMatchObject({ username: '1001' });
});
