/** A real node that is started again has another password for its Event Socket, and Switchyard is in again by itself. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { enrolNode, makeNodeSecret } from '../../../scripts/nodes/enrol';
import { launchRealNode, type RealNode } from '../../../scripts/nodes/launch-node';
import { findFreePort } from '../../../scripts/stores/ports';
import { connectRaw } from '../../contract/peers/raw-client';
import { describeWithRealNode } from '../../real-node';
import { useStores } from '../../stores';
import { openNodePassword } from '../../../src/domains/nodes/entering/node-password';
import { JOIN_TOKEN, startApp, until, type App } from '../harness';

const SERVES_MS = 60_000;

describeWithRealNode('the Event Socket of a real node', (binary) => {
  let app: App;
  let node: RealNode | undefined;
  const dir = mkdtempSync(join(tmpdir(), 'switchyard-esl-'));
  afterAll(async () => {
    await node?.stop();
    await app?.close();
    rmSync(dir, { recursive: true, force: true });
  });
  const stores = useStores();

  interface Row {
    id: string;
    state: string;
    core_uuid: string;
    esl_core_uuid: string;
    esl_password_sealed: string;
  }
  const row = async (): Promise<Row> => (await stores.db('nodes').where({ name: 'real' }).first()) as Row;
  const password = async (): Promise<string> => openNodePassword(app.config.secretKey, await row());
  const serves = (other?: string): Promise<unknown> =>
    until(
      () => `it serves:\n${node!.lastLines()}`,
      async () => {
        const now = await row();
        return now.state === 'serving' && now.core_uuid !== other && now.core_uuid === now.esl_core_uuid;
      },
      SERVES_MS,
    );

  test('opens with a password of its own for each process, and what starts it holds no token', async () => {
    app = await startApp(stores, { heartbeatSeconds: 2 });
    const [esl, sip, internode, ws] = [
      await findFreePort(),
      await findFreePort(),
      await findFreePort(),
      await findFreePort(),
    ];
    const xmlUrl = `${app.url}/freeswitch/xml?host=127.0.0.1&esl=${esl}&sip=${sip}&internode=${internode}&ws=${ws}&rtp=43000-43400`;
    const secret = makeNodeSecret();
    expect(await enrolNode({ name: 'real', xmlUrl, secret }, JOIN_TOKEN)).toBe('in');
    const launch = (): Promise<RealNode> => {
      process.env.NODE_JOIN_TOKEN = JOIN_TOKEN; // as where somebody has it in the environment that nodes are started from
      const env = { SWITCHYARD_RTP_FROM: '43000', SWITCHYARD_RTP_TO: '43400' };
      const launched = launchRealNode({ binary, dir, name: 'real', xmlUrl, password: secret, env });
      delete process.env.NODE_JOIN_TOKEN;
      return launched;
    };
    node = await launch();
    const environment = readFileSync(`/proc/${node.pid}/environ`, 'utf8').split('\0');
    expect(environment).toContain(`SWITCHYARD_NODE_PASSWORD=${secret}`);
    expect(environment.filter((line) => line.includes(JOIN_TOKEN))).toEqual([]);
    await serves();
    const [first, core] = [await password(), (await row()).core_uuid];

    node.kill('SIGKILL');
    await node.ended;
    node = await launch();
    await serves(core);
    expect(await password()).not.toBe(first);
    const ear = await connectRaw(esl);
    expect((await ear.send(`auth ${first}`)).headers['reply-text']).toBe('-ERR invalid');
    ear.close();
  }, 150_000);
});
