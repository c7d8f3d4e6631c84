/** What a real node may do on the machine it runs on: as whom, with what in its environment, and what it may not start. */
import { existsSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { launchRealNode, type RealNode } from '../../scripts/nodes/launch-node';
import { nodeUser } from '../../scripts/nodes/ordinary-user';
import { openConnection, type NodeConnection } from '../../src/freeswitch/esl';
import { createLogger } from '../../src/infra/logger';
import { describeWithRealNode } from '../real-node';
import { until } from '../until';
import { startXmlServer, type XmlServer } from './xml-server';

const PASSWORD = 'join-token-of-a-node.its-own-secret';
const OURS = 'a-key-that-is-none-of-its-business';

describeWithRealNode('a real node that was broken into', (binary) => {
  const above = mkdtempSync(join(tmpdir(), 'confined-'));
  let server: XmlServer;
  let node: RealNode;
  let esl: NodeConnection;

  beforeAll(async () => {
    server = await startXmlServer('n1');
    Object.assign(process.env, { DATABASE_URL: OURS, S3_SECRET_ACCESS_KEY: OURS, SWITCHYARD_SECRET: OURS });
    const env = { SWITCHYARD_RTP_FROM: '26300', SWITCHYARD_RTP_TO: '26400' };
    const dir = join(above, 'n1');
    node = await launchRealNode({ binary, dir, name: 'n1', xmlUrl: server.xmlUrl, password: PASSWORD, env });
    const { eslPort: port, eslPassword: password } = server.settings;
    const o = { host: '127.0.0.1', port, password, connectTimeoutMs: 1000, logger: createLogger('silent') };
    esl = await until('the node answers', () => openConnection(o).catch(() => undefined), 40_000);
  }, 60_000);

  afterAll(async () => {
    for (const name of ['DATABASE_URL', 'S3_SECRET_ACCESS_KEY', 'SWITCHYARD_SECRET']) delete process.env[name];
    esl?.close();
    await node?.stop();
    await server?.close();
    rmSync(above, { recursive: true, force: true });
  }, 20_000);

  const tell = async (line: string): Promise<string> => (await esl.api({ line }, { timeoutMs: 10_000 })).text.trim();

  /** All files below a folder. */
  const filesIn = (folder: string): string[] =>
    readdirSync(folder, { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));

  test('runs as an ordinary user, with no group of root and nothing that could make it root', async () => {
    const uid = nodeUser()?.uid ?? process.getuid!();
    expect(await tell('spawn_stream id -u')).toBe(String(uid));
    expect(uid).not.toBe(0);
    if (!existsSync('/proc/self/status')) return;
    const status = readFileSync(`/proc/${node.pid}/status`, 'utf8');
    expect(/^Uid:\s+(.*)$/m.exec(status)![1]!.split(/\s+/)).toEqual(Array(4).fill(String(uid)));
    expect(/^CapEff:\s+(.*)$/m.exec(status)![1]).toMatch(/^0+$/);
    if (process.getuid?.() === 0) expect(/^Groups:[ \t]*(.*)$/m.exec(status)![1]!.trim()).toBe('');
    expect(
      Number(/^Max open files\s+(\d+)/m.exec(readFileSync(`/proc/${node.pid}/limits`, 'utf8'))![1]),
    ).toBeGreaterThan(1024);
  });

  test('finds none of our keys in its environment, and nothing that is not on the list', async () => {
    const env = await tell('spawn_stream env');
    expect(env).toContain(`SWITCHYARD_NODE_PASSWORD=${PASSWORD}`);
    expect(env).not.toContain(OURS);
    const names = env.split('\n').flatMap((line) => /^([A-Za-z_]\w*)=/.exec(line)?.[1] ?? []);
    const known =
      /^(PATH|LD_LIBRARY_PATH|HOME|PWD|OLDPWD|SHLVL|_|LANG|LC_ALL|TZ|SSL_CERT_FILE|SSL_CERT_DIR|CURL_CA_BUNDLE|SWITCHYARD_(XML_URL|XML_URL_2|NODE_NAME|NODE_PASSWORD|HEARTBEAT_SECONDS|RTP_FROM|RTP_TO|MAX_SESSIONS|SESSIONS_PER_SECOND|LOG_LEVEL|CA_FILE))$/;
    expect(names.filter((name) => !known.test(name))).toEqual([]);
  });

  test('keeps its password in files of its own user alone, in folders nobody else may enter', () => {
    const uid = nodeUser()?.uid ?? process.getuid!();
    const telling = filesIn(node.dir).filter((file) => readFileSync(file, 'latin1').includes(PASSWORD));
    // FreeSWITCH writes its expanded configuration there.
    expect(telling).toContain(join(node.dir, 'log', 'freeswitch.xml.fsxml'));
    for (const file of telling) {
      expect([file, lstatSync(file).mode & 0o777, lstatSync(file).uid]).toEqual([file, 0o600, uid]);
      expect([file, lstatSync(dirname(file)).mode & 0o777]).toEqual([file, 0o700]);
    }
    const own = readdirSync(node.dir).filter(
      (name) => name !== 'conf' && lstatSync(join(node.dir, name)).isDirectory(),
    );
    expect(own).toEqual(expect.arrayContaining(['db', 'log', 'recordings', 'run', 'temp']));
    for (const name of own) {
      const { mode, uid: owner } = lstatSync(join(node.dir, name));
      expect([name, mode & 0o777, owner]).toEqual([name, 0o700, uid]);
    }
  });

  test('can not put anything in the place of what we read or write', async () => {
    if (!nodeUser()) return; // it runs as we do: there is nobody to be kept out
    const touch = async (...path: string[]): Promise<boolean> => {
      const file = join(node.dir, ...path);
      await tell(`spawn_stream touch ${file}`);
      return existsSync(file);
    };
    expect(await touch('temp', 'mine')).toBe(true);
    expect([await touch('theirs'), await touch('conf', 'theirs')]).toEqual([false, false]);
    await tell(`spawn_stream ln -sf /etc/passwd ${join(node.dir, 'output.log')}`);
    expect(lstatSync(join(node.dir, 'output.log')).isSymbolicLink()).toBe(false);
  });

  test.each(['system', 'bgsystem'])('starts no program by the application %s', async (app) => {
    const touched = join(node.dir, 'temp', `touched-by-${app}`);
    await tell(`spawn_stream touch ${touched}-control`);
    expect(existsSync(`${touched}-control`)).toBe(true); // it could, if it were let
    for (const how of [`'${app}:touch ${touched}' inline`, `&${app}(touch ${touched})`])
      await tell(`originate null/nobody ${how}`);
    const refused = new RegExp(`Invalid Application ${app}\\b`);
    await until('it is refused', () => refused.test(readFileSync(node.logFile, 'utf8')));
    expect(existsSync(touched)).toBe(false);
    expect(await tell('show application as json')).not.toContain(`"name":"${app}"`);
  });
});
