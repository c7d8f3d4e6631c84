/** A real node whose network lists can't be answered: nobody who could come in is shut out, whatever breaks and how often. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { enrolNode, makeNodeSecret } from '../../../scripts/nodes/enrol';
import { launchRealNode, type RealNode } from '../../../scripts/nodes/launch-node';
import { findFreePort } from '../../../scripts/stores/ports';
import { openNodePassword } from '../../../src/domains/nodes/entering/node-password';
import { connectRaw, type RawClient } from '../../contract/peers/raw-client';
import { describeWithRealNode } from '../../real-node';
import { useStores } from '../../stores';
import { BREAKAGES, openBrokenDoor, type BrokenDoor } from '../security/broken-door';
import { JOIN_TOKEN, startApp, until, type App } from '../harness';

const SERVES_MS = 60_000;
/** Of each kind of breakage. A node waits 5 s for each of two answers that do not come. */
const TIMES = { '502': 20, silent: 1, cut: 20, closed: 20 };

describeWithRealNode('the network lists of a real node', (binary) => {
  let app: App;
  let door: BrokenDoor;
  let node: RealNode | undefined;
  let esl: number;
  const dir = mkdtempSync(join(tmpdir(), 'switchyard-lists-'));
  const stores = useStores();
  afterAll(async () => {
    await node?.stop();
    await door?.close();
    await app?.close();
    rmSync(dir, { recursive: true, force: true });
  });

  interface Row {
    id: string;
    state: string;
    esl_networks: string;
    esl_password_sealed: string;
  }
  const row = async (): Promise<Row> => (await stores.db('nodes').where({ name: 'real' }).first()) as Row;
  const connect = async (): Promise<RawClient> => {
    const ear = await connectRaw(esl, HOST);
    await ear.send(`auth ${openNodePassword(app.config.secretKey, await row())}`);
    return ear;
  };
  /** Not the loopback: the list on a node's disk would let that in. */
  const HOST = '127.77.0.3';

  beforeAll(async () => {
    app = await startApp(stores, { heartbeatSeconds: 2, controlNetworks: ['192.0.2.0/24'] });
    door = await openBrokenDoor(app.url);
    const [sip, internode, ws] = [await findFreePort(), await findFreePort(), await findFreePort()];
    esl = await findFreePort();
    const xmlUrl = `${door.url}/freeswitch/xml?host=${HOST}&esl=${esl}&sip=${sip}&internode=${internode}&ws=${ws}&rtp=43500-43600`;
    const password = makeNodeSecret();
    expect(await enrolNode({ name: 'real', xmlUrl, secret: password }, JOIN_TOKEN)).toBe('in');
    const env = { SWITCHYARD_RTP_FROM: '43500', SWITCHYARD_RTP_TO: '43600' };
    node = await launchRealNode({ binary, dir, name: 'real', xmlUrl, password, env });
    await until(
      () => `it serves:\n${node!.lastLines()}`,
      async () => (await row()).state === 'serving',
      SERVES_MS,
    );
  }, 90_000);

  test('keep Switchyard in, also where the lists are loaded while nobody answers, by a 502, silence or half an answer', async () => {
    expect((await row()).esl_networks).toBe('127.0.0.0/8,127.0.0.1/32,192.0.2.0/24,127.77.0.3/32');
    for (const how of BREAKAGES) {
      for (let i = 0; i < TIMES[how]; i += 1) {
        const ear = await connect();
        door.breakFor('acl.conf', how);
        expect((await ear.send('api reloadacl')).body).toContain('+OK');
        // From elsewhere than the loopback, which is on the node's disk as well: by what the Event Socket itself was told.
        expect((await ear.send(`api acl 192.0.2.7 ${(await row()).esl_networks}`)).body).toBe('true');
        expect((await ear.send('api acl 198.51.100.7 esl')).body).toBe('false');
        expect((await ear.send('api acl 127.0.0.1 esl')).body).toBe('true');
        ear.close();
        door.breakFor('acl.conf', undefined);
        (await connect()).close();
      }
    }
    expect((await row()).state).toBe('serving');
    expect(readFileSync(node!.logFile, 'utf8')).not.toContain('Rejected by acl');
  }, 120_000);

  test('are loaded when the pool has changed, and not when a replica has connected anew', async () => {
    const ear = await connect();
    try {
      const reloads = (): number => readFileSync(node!.logFile, 'utf8').split('Created ip list pool').length - 1;
      await until(
        'its lists are as they should be',
        async () => (await ear.send('api acl 127.77.0.3 pool')).body === 'true',
      );
      const before = reloads();
      const replica = await app.addReplica();
      await replica.stop();
      expect(reloads()).toBe(before);

      door.breakFor('acl.conf', '502');
      const asked = door.countOf('acl.conf');
      const late = { name: 'late', secret: makeNodeSecret() };
      const xmlUrl = `${app.url}/freeswitch/xml?host=127.77.0.4&esl=1&sip=2&internode=3&ws=4`;
      expect(await enrolNode({ ...late, xmlUrl }, JOIN_TOKEN)).toBe('in');
      await until('it was asked for three times', () => door.countOf('acl.conf') >= asked + 6);
      expect(reloads()).toBe(before);
      expect((await ear.send('api acl 127.77.0.3 pool')).body).toBe('true');
      door.breakFor('acl.conf', undefined);
      await until('the new one is let in', async () => (await ear.send('api acl 127.77.0.4 pool')).body === 'true');
      expect(reloads()).toBe(before + 1);
    } finally {
      ear.close();
    }
  }, 120_000);
});
