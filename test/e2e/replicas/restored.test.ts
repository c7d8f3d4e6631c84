/** An older backup is restored while people talk: every call and room that is newer than it is adopted and told, and nobody is hung up. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { startSwitchyard, type RunningSwitchyard } from '../../../src/main';
import { createLogger } from '../../../src/infra/logger';
import { connectRaw, type RawClient } from '../../contract/peers/raw-client';
import { PATIENCE, useStores } from '../../stores';
import { ADMIN_KEY, DOMAIN, startApp, until, type Node, type App } from '../harness';

let app: App;
let ear: RawClient;
let after: RunningSwitchyard | undefined;
afterAll(async () => {
  ear?.close();
  await after?.stop();
  await app?.close();
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

beforeAll(async () => {
  app = await startApp(stores);
  node = await app.addNode('one');
  ear = await connectRaw(node.eslPort);
  await ear.send(`auth ${node.eslPassword}`);
});

test('calls that are newer than the backup go on, are adopted, and can be ended as any other', async () => {
  for (const name of ['ann', 'bert', 'carl', 'dora']) await app.addPhone(node, name, { answerAfterMs: 20 });
  const older = await app.call('user:ann', 'user:bert');
  await app.callIs(older.id, 'answered');
  await copyAll(stores.databaseUrl, restored.databaseUrl);
  const newer = await app.call('user:carl', 'user:dora', { metadata: { visit: '7' } });
  await app.callIs(newer.id, 'answered');
  const alone = await app.call('user:ann', '9196');
  await app.callIs(alone.id, 'answered');

  // As after a restore: a fresh database, and a Redis that knows nothing.
  const config = { ...app.config, databaseUrl: restored.databaseUrl, redisPrefix: restored.redisPrefix };
  after = await startSwitchyard(config, createLogger('silent'), PATIENCE);
  const { url } = after;
  const read = async (id: string) => (await app.apiOnce('GET', `/v1/calls/${id}`, undefined, url)).body;
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
    await app.hangUp(id, url);
    await until('it has ended', async () => (await read(id)).state === 'ended');
    expect(await read(id)).toMatchObject({ outcome: 'answered' });
  }
  expect(
    Math.abs(Date.parse((await read(newer.id)).answeredAt) - Date.parse((await app.readCall(newer.id)).answeredAt!)),
  ).toBeLessThan(1000);
});

test('rooms that are newer than the backup go on, are shown with everybody in them, and can be closed as any other', async () => {
  await after?.stop();
  after = undefined;
  for (const name of ['eva', 'finn', 'gus', 'hans', 'ida']) await app.addPhone(node, name, { answerAfterMs: 20 });
  const openRoom = async (name: string, extra: object = {}): Promise<string> =>
    (await app.must(201, 'POST', '/v1/rooms', { domain: DOMAIN, name, ...extra })).id;
  const enter = async (roomId: string, room: string, ...who: string[]): Promise<void> => {
    const count = () => stores.db('participants').where({ room_id: roomId, state: 'in' }).pluck('id');
    const before = (await count()).length;
    for (const name of who) await app.call(`user:${name}`, `room:${room}`);
    await until('they are in', async () => (await count()).length === before + who.length);
  };
  const older = await openRoom('older');
  await enter(older, 'older', 'eva');
  await copyAll(stores.databaseUrl, restored.databaseUrl);
  await enter(older, 'older', 'finn');
  const newer = await openRoom('newer', { pin: '4711', sounds: { entry: 'none', exit: 'none' } });
  await enter(newer, 'newer', 'gus', 'hans', 'ida');
  const channels = node.channelCount;
  const names = node.rooms().map(({ name }) => name);
  expect(names).toHaveLength(2);

  const config = { ...app.config, databaseUrl: restored.databaseUrl, redisPrefix: `${restored.redisPrefix}-rooms` };
  after = await startSwitchyard(config, createLogger('silent'), PATIENCE);
  const { url, operationsUrl } = after;
  const read = (path: string) => app.apiOnce('GET', path, undefined, url);
  const inside = async (roomId: string): Promise<string[]> => {
    const { body } = await read(`/v1/rooms/${roomId}/participants`);
    const people = (body.participants ?? body.items ?? []) as { identity: string; state: string }[];
    return people.filter(({ state }) => state === 'in').map(({ identity }) => identity);
  };
  await until(
    'everybody is shown',
    async () => (await inside(newer)).length === 3 && (await inside(older)).length === 2,
  );
  await sleep(LOOKS_MS);
  expect(node.channelCount).toBe(channels);
  expect(node.rooms().map(({ name }) => name)).toEqual(names);
  expect((await inside(newer)).sort()).toEqual(['user:gus', 'user:hans', 'user:ida']);
  expect((await inside(older)).sort()).toEqual(['user:eva', 'user:finn']);
  // Its PIN is lost: nobody gets in who would not have.
  expect((await read(`/v1/rooms/${newer}`)).body).toMatchObject({
    ...{ name: 'newer', pin: null, locked: true, sounds: { entry: 'none', exit: 'none' } },
  });
  const { body: told } = await read(`/v1/events?format=json&limit=1000&domain=${DOMAIN}`);
  const types = (told.items as { type: string; roomId?: string }[])
    .filter((e) => e.roomId === newer)
    .map((e) => e.type);
  expect(types.filter((type) => type === 'session.adopted')).toHaveLength(1);
  expect(types.filter((type) => type === 'participant.adopted')).toHaveLength(3);
  expect(await (await fetch(`${operationsUrl}/metrics`)).text()).toMatch(/orphans_total\{kind="unexplained"\} 0/);
  const closed = await app.apiOnce('DELETE', `/v1/rooms/${newer}?force=true`, undefined, url);
  expect(closed.status).toBe(204);
  await until('it is over at the node', () => node.rooms().length === 1);
  expect((await read(`/v1/rooms/${newer}`)).status).toBe(404);
});
