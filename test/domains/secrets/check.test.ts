/** A start with a secret that is not the database's ends with words, and changes nothing. */
import { randomBytes } from 'node:crypto';
import { checkSecrets, decideStart } from '../../../src/domains/secrets/check';
import { createLogger } from '../../../src/infra/logger';
import { secretNames } from '../../../src/infra/secrets';
import { useStores } from '../../stores';
import { insertSealedRows } from './sealed-rows';

const stores = useStores();
const [first, second, third] = [randomBytes(32), randomBytes(32), randomBytes(32)];
const nameOf = (secret: Buffer) => secretNames(secret)[0];
const lines: string[] = [];
const logger = createLogger('debug', { write: (line: string) => void lines.push(line) });
const start = (...secrets: Buffer[]) => checkSecrets(stores.db, Buffer.concat(secrets), logger);
const known = async () =>
  (await stores.db('known_secrets').orderBy('since')).map((row) => [row.name, row.is_current] as [string, boolean]);

beforeEach(async () => {
  lines.length = 0;
  await stores.db('known_secrets').delete();
  for (const table of ['relays', 'grants', 'rooms', 'users', 'nodes', 'domains']) await stores.db(table).delete();
});

describe('what is decided', () => {
  const none = { tried: 0, opened: 0 };
  const current = (name: string) => ({ name, is_current: true });
  const former = (name: string) => ({ name, is_current: false });
  const names = (...all: string[]) => all as [string, ...string[]];
  test.each([
    ['an empty database', { here: names('a'), known: [], samples: none }, 'first', ['a']],
    ['the same secret', { here: names('a'), known: [current('a')], samples: none }, 'same', ['a']],
    ['a next secret beside it', { here: names('a', 'b'), known: [current('a')], samples: none }, 'same', ['a']],
    ['a new one and the old', { here: names('b', 'a'), known: [current('a')], samples: none }, 'changed', ['b']],
    [
      'back to the old one',
      { here: names('a', 'b'), known: [former('a'), current('b')], samples: none },
      'changed',
      ['a'],
    ],
    [
      'old texts that open',
      { here: names('b', 'a'), known: [], samples: { tried: 3, opened: 1 } },
      'first',
      ['b', 'a'],
    ],
  ])('%s: it starts', (_name, facts, is, written) => {
    expect(decideStart(facts)).toEqual({ do: 'start', is, names: written });
  });
  test.each([
    [
      'another secret',
      { here: names('b'), known: [current('a')], samples: none },
      /called a, this one b.*SWITCHYARD_SECRET_OLD/,
    ],
    [
      'the former one alone',
      { here: names('a'), known: [former('a'), current('b')], samples: none },
      /called b, this one a/,
    ],
    [
      'too early without the old',
      { here: names('b'), known: [former('a'), current('b')], samples: none },
      /previous secret called a/,
    ],
    ['old texts, none opens', { here: names('b'), known: [], samples: { tried: 3, opened: 0 } }, /opens none of 3/],
  ])('%s: it does not start', (_name, facts, why) => {
    expect(decideStart(facts)).toMatchObject({ do: 'refuse', why: expect.stringMatching(why) });
  });
});

test('the first start writes down which secret it was; the same one starts again, another one does not', async () => {
  await start(first);
  await start(first);
  await expect(start(second)).rejects.toThrow(/SWITCHYARD_SECRET is not the secret of this database/);
  await expect(start(second)).rejects.toThrow(nameOf(first));
  expect(await known()).toEqual([[nameOf(first), true]]);
});

test('with the former one named it starts, and from then on the former one alone does not', async () => {
  await start(first);
  await start(second, first);
  expect(await known()).toEqual([
    [nameOf(first), false],
    [nameOf(second), true],
  ]);
  expect(lines.join('')).toContain('SWITCHYARD_SECRET has changed');
  await expect(start(first)).rejects.toThrow('not the secret of this database');
  await expect(start(second)).rejects.toThrow(/until the log says/);
  await expect(start(third, second)).rejects.toThrow(/until the log says/);
  await start(third, second, first);
  expect((await known()).find(([, isCurrent]) => isCurrent)).toEqual([nameOf(third), true]);
});

test('without a stop: the next one is named first, then they change places, replica after replica', async () => {
  await start(first, second);
  await start(first, second);
  await start(second, first);
  await start(first, second); // a straggler that was started again
  await start(second, first);
  expect((await known()).find(([, isCurrent]) => isCurrent)).toEqual([nameOf(second), true]);
});

test('a database of the version before is known by what is sealed in it', async () => {
  await insertSealedRows(stores.db, first, 'before');
  await expect(start(second)).rejects.toThrow('opens none of 4 sealed texts');
  expect(await known()).toEqual([]);
  await start(second, first);
  expect((await known()).map(([name]) => name).sort()).toEqual([nameOf(first), nameOf(second)].sort());
});

test('twenty that start at once, half of them with a wrong secret: only one kind starts', async () => {
  const all = Array.from({ length: 20 }, (_, i) =>
    start(i % 2 ? first : second).then(
      () => i % 2,
      () => undefined,
    ),
  );
  const started = (await Promise.all(all)).filter((which) => which !== undefined);
  expect(started).toHaveLength(10);
  expect(new Set(started).size).toBe(1);
});

test('no line of it holds a secret', async () => {
  await start(first);
  await start(second, first);
  const said = await start(third).then(String, String);
  for (const secret of [first, second, third]) {
    for (const form of ['base64', 'base64url', 'hex'] as const) {
      expect(lines.join('') + said).not.toContain(secret.toString(form));
    }
  }
});
