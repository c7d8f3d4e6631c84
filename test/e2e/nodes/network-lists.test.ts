/** Network lists of nodes: loaded where they have changed and can be answered, and nobody is shut out meanwhile. */
import { isDue, pauseAfter, type KnownLists } from '../../../src/domains/nodes/connections/acl-refresh';
import type { NodeConnection } from '../../../src/freeswitch/esl';
import { connectRaw, type RawClient } from '../../contract/peers/raw-client';
import { useStores } from '../../stores';
import { openBrokenDoor, type BrokenDoor } from '../security/broken-door';
import { startApp, until, type Node, type App } from '../harness';

describe('a node whose lists can not be answered', () => {
  let app: App;
  let door: BrokenDoor;
  let node: Node;
  let ear: RawClient;
  afterAll(async () => {
    ear?.close();
    await door?.close();
    await app?.close();
  });
  const stores = useStores();
  const isIn = async (address: string, list: string): Promise<boolean> =>
    (await ear.send(`api acl ${address} ${list}`)).body.trim() === 'true';
  const told = async (): Promise<string> =>
    ((await stores.db('nodes').where({ name: 'one' }).first()) as { esl_networks: string }).esl_networks;

  beforeAll(async () => {
    app = await startApp(stores, { controlNetworks: ['192.0.2.0/24'] });
    door = await openBrokenDoor(app.url);
    node = await app.addNode('one', { door: door.url });
    ear = await connectRaw(node.eslPort);
    await ear.send(`auth ${node.eslPassword}`);
  });

  test('goes on to let Switchyard in, and is well', async () => {
    door.breakFor('acl.conf', '502');
    expect((await ear.send('api reloadacl')).body).toContain('+OK');
    expect(await isIn('127.0.0.1', 'pool')).toBe(false); // gone
    expect(await isIn('192.0.2.9', await told())).toBe(true);
    expect(await isIn('192.0.2.9', 'esl')).toBe(false); // what is on its disk knows of the loopback only
    node.faults.drop();
    await app.nodeIs(node, 'serving');
    ear = await connectRaw(node.eslPort);
    expect((await ear.send(`auth ${node.eslPassword}`)).headers['reply-text']).toBe('+OK accepted');
    await until('it was told so twice', () =>
      app.lines.some((line) => line.includes('does not get its network lists')),
    );
    door.breakFor('acl.conf', undefined);
    await until('its lists are whole again', () => isIn('127.0.0.1', 'pool'));
  });

  test('lets in who is named later, without a restart, and takes nothing from who could come in', async () => {
    const other = await app.addReplica({ controlNetworks: ['198.51.100.0/24'], roles: ['supervisor', 'api'] });
    const asked = { section: 'configuration', tag_name: 'configuration', key_name: 'name', key_value: 'acl.conf' };
    const { text } = await app.askXml(
      { ...node, name: node.name, password: node.password, xmlUrl: node.xmlUrl.replace(door.url, other.url) },
      asked,
    );
    const list = text.split(`<list name="${await told()}"`)[1]!.split('</list>')[0]!;
    expect([...list.matchAll(/cidr="([^"]+)"/g)].map((match) => match[1])).toEqual(
      expect.arrayContaining(['127.0.0.0/8', '192.0.2.0/24', '198.51.100.0/24']),
    );
  });
});

describe('when lists are looked at', () => {
  const connection = {} as NodeConnection;
  const known: KnownLists = { connection, mark: 'a', failures: 0, dueAtMs: 1000 };

  test('is with a new connection, when they have changed, and once a minute', () => {
    expect(isDue(known, connection, 'a', 999)).toBe(false);
    expect(isDue(known, connection, 'a', 1000)).toBe(true);
    expect(isDue(known, connection, 'b', 0)).toBe(true);
    expect(isDue(known, {} as NodeConnection, 'a', 0)).toBe(true);
  });

  test('is ever later while they do not come', () => {
    expect([0, 1, 2, 3, 7, 100].map(pauseAfter)).toEqual([60_000, 1000, 2000, 4000, 60_000, 60_000]);
  });
});
