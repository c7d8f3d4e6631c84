/** An older backup is restored while people talk: every call that is newer than it is adopted and told, and nobody is hung up. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { startSwitchyard, type RunningSwitchyard } from '../../src/main';
import { createLogger } from '../../src/infra/logger';
import { connectRaw, type RawClient } from '../contract/raw-client';
import { PATIENCE, useStores } from '../stores';
import { ADMIN_KEY, DOMAIN, openYard, until, type Node, type Yard } from './harness';

let yard: Yard;
let ear: RawClient;
let after: RunningSwitchyard | undefined;
afterAll(async () => {
  ear?.close();
  await after?.stop();
  await yard?.close();
});
const stores = useStores();
/** Where the backup goes: a fresh database. */
const restored = useStores();
let node: Node;
jest.setTimeout(300_000);

/** More than two looks at a node. */
const LOOKS_MS = 12_000;

/** What `pg_dump --data-only` and `psql` do, by any server's version. */
async function copyAll(from: string, to: string): Promise<void> {
  const [source, target] = [new Client({ connectionString: from }), new Client({ connectionString: to })];
  await Promise.all([source.connect(), target.connect()]);
  try {
    await target.query(`set session_replication_role = 'replica'`);
    const { rows } = await source.query<{ name: string }>(
      `select table_name as name from information_schema.tables where table_schema = 'public' and table_name not like 'knex%'`,
    );
    for (const { name } of rows) {
      const read = await source.query<{ all: string }>(
        `select coalesce(json_agg(t), '[]')::text as all from "${name}" t`,
      );
      await target.query(`delete from "${name}"`);
      await target.query(`insert into "${name}" select * from json_populate_recordset(null::"${name}", $1::json)`, [
        read.rows[0]!.all,
      ]);
    }
  } finally {
    await Promise.all([source.end(), target.end()]);
  }
}

test('calls that are newer than the backup go on, are adopted, and can be ended as any other', async () => {
  yard = await openYard(stores);
  node = await yard.addNode('one');
  ear = await connectRaw(node.eslPort);
  await ear.send(`auth ${node.eslPassword}`);
  for (const name of ['ann', 'bert', 'carl', 'dora']) await yard.addPhone(node, name, { answerAfterMs: 20 });
  const older = await yard.call('user:ann', 'user:bert');
  await yard.callIs(older.id, 'answered');
  await copyAll(stores.databaseUrl, restored.databaseUrl);
  const newer = await yard.call('user:carl', 'user:dora', { metadata: { visit: '7' } });
  await yard.callIs(newer.id, 'answered');
  const alone = await yard.call('user:ann', '9196');
  await yard.callIs(alone.id, 'answered');

  // As after a restore: a fresh database, and a Redis that knows nothing.
  const config = { ...yard.config, databaseUrl: restored.databaseUrl, redisPrefix: restored.redisPrefix };
  after = await startSwitchyard(config, createLogger('silent'), PATIENCE);
  const { url } = after;
  const read = async (id: string) => (await yard.apiOnce('GET', `/v1/calls/${id}`, undefined, url)).body;
  for (const { id } of [newer, alone])
    await until('the call is adopted', async () => (await read(id)).adoptedAt !== undefined);
  await sleep(LOOKS_MS);
  expect(node.channelCount).toBe(5);
  expect(await read(older.id)).toMatchObject({ state: 'answered', adoptedAt: null });
  expect(await read(newer.id)).toMatchObject({ state: 'answered', from: 'user:carl', to: 'user:dora', domain: DOMAIN });
  expect((await read(newer.id)).legs.map((leg: { role: string }) => leg.role).sort()).toEqual(['from', 'to']);
  expect(await read(alone.id)).toMatchObject({ state: 'answered', to: '9196' });
  const told = await fetch(`${url}/v1/events?format=json&limit=1000&domain=${DOMAIN}&callId=${newer.id}`, {
    headers: { authorization: `Bearer ${ADMIN_KEY}` },
  });
  const { items } = (await told.json()) as { items: { type: string }[] };
  expect(items.filter(({ type }) => type === 'call.adopted')).toHaveLength(1);
  for (const { id } of [older, newer, alone]) {
    await yard.hangUp(id, url);
    await until('it has ended', async () => (await read(id)).state === 'ended');
    expect(await read(id)).toMatchObject({ outcome: 'answered' });
  }
  expect(
    Math.abs(Date.parse((await read(newer.id)).answeredAt) - Date.parse((await yard.readCall(newer.id)).answeredAt!)),
  ).toBeLessThan(1000);
});
