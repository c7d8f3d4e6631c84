/** Call records that a node has left as files: what is broken, empty, too large or odd among them holds up no other, and no node. */
import { randomUUID } from 'node:crypto';
import { createLeftRecords } from '../../../../src/domains/calls/records/left-records';
import type { CallEndDeps } from '../../../../src/domains/calls/events/move-calls';
import type { NodeRow } from '../../../../src/domains/nodes/nodes.store';
import type { NodeConnection } from '../../../../src/freeswitch/esl';
import { createId } from '../../../../src/infra/ids';
import { createLogger } from '../../../../src/infra/logger';
import { useStores } from '../../../stores';

const stores = useStores();
const FOLDER = '/var/log/node/json_cdr';
const node = { id: createId(), name: 'one' } as NodeRow;
let files: Map<string, string | number>;
let asked: string[];

beforeAll(() =>
  stores.db('nodes').insert({
    ...{ id: node.id, name: node.name, host: '127.0.0.1', secret_hash: 'x', esl_password_sealed: 'x' },
    ...{ state: 'serving', esl_port: 1, sip_port: 2, internode_port: 3, ws_port: 4 },
  }),
);
beforeEach(async () => {
  await stores.db('cdrs').delete();
  [files, asked] = [new Map(), []];
});

/** A node's disk; a number is a file of so many bytes that nobody should print. */
const connection = {
  isOpen: true,
  api: () => Promise.resolve({ ok: true, text: '/var/log/node' }),
  bgapi: ({ line }: { line: string }) => {
    asked.push(line);
    const [, program, ...words] = line.split(' ');
    const paths = words.filter((word) => word.startsWith('/'));
    const content = (path: string): string | number | undefined => files.get(path.slice(FOLDER.length + 1));
    const sizeOf = (path: string): number => {
      const held = content(path);
      return typeof held === 'number' ? held : (held?.length ?? 0);
    };
    if (program === 'ls') return reply([...files.keys()].sort().join('\n'));
    if (program === 'stat') return reply(paths.map((path) => `${sizeOf(path)}:${path}`).join('\n'));
    if (program === 'rm') files.delete(paths[0]!.slice(FOLDER.length + 1));
    return reply(program === 'base64' ? Buffer.from(String(content(paths[0]!))).toString('base64') : '');
  },
} as unknown as NodeConnection;
const reply = (text: string) => Promise.resolve({ ok: true, text });

function leave(content?: string | number): string {
  const legId = randomUUID();
  files.set(`${legId}.cdr.json`, content ?? JSON.stringify({ variables: { uuid: legId } }));
  return legId;
}
const strayRecords = { take: () => true };
const open = (db = stores.db) => {
  const deps = { db, logger: createLogger('silent'), strayRecords };
  return createLeftRecords(deps as unknown as CallEndDeps, () => 0);
};
const kept = async (): Promise<string[]> => (await stores.db('cdrs').pluck('leg_id')) as string[];

test('empty files, as a full disk leaves them, hold up no record behind them, however many there are', async () => {
  for (let i = 0; i < 600; i += 1) files.set(`00000000-0000-4000-8000-${String(i).padStart(12, '0')}.cdr.json`, '');
  const left = leave();
  const records = open();
  await records.take(node, connection, true);
  await records.take(node, connection, true);
  expect(await kept()).toEqual([left]);
  expect(files.size).toBe(600); // what is being written may be empty as well
  expect(asked.filter((line) => line.includes('base64'))).toHaveLength(1);
});

test('a file that is too large is never printed, and goes', async () => {
  const large = leave(2_000_000_000);
  const left = leave();
  await open().take(node, connection, true);
  expect(await kept()).toEqual([left]);
  expect(asked.filter((line) => line.includes('base64')).join()).not.toContain(large);
  expect(files.size).toBe(0);
});

test('one that can not be taken in keeps no other back, and is asked for again', async () => {
  const [bad, good] = [leave(), leave()];
  const db = new Proxy(stores.db, {
    apply: (target, self, args: [string]) => {
      if (args[0] === 'legs' && asked.at(-1)!.includes(bad)) throw new Error('a fault of ours');
      return Reflect.apply(target, self, args) as unknown;
    },
  });
  await open(db).take(node, connection, true);
  expect(await kept()).toEqual([good]);
  expect([...files.keys()]).toEqual([`${bad}.cdr.json`]);
});

test.each(['../../../etc/passwd', 'x.cdr.json', '; rm -rf .cdr.json', `${randomUUID()}.cdr.json.part`, '-rf'])(
  'a file named %s is none of ours, and nothing is done with it',
  async (name) => {
    files.set(name, '{}');
    await open().take(node, connection, true);
    expect(asked).toHaveLength(1);
    expect(files.size).toBe(1);
  },
);
