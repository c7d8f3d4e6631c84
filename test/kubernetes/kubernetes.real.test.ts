/** The media node's container as the manifests start it, with a real FreeSWITCH in place of its image's. */
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { startChild, type Child } from '../../scripts/child';
import { enrolPod, leavePool, readEnrolment, readPod, settleIn } from '../../scripts/kubernetes/node-pod';
import { findFreePort } from '../../scripts/stores/ports';
import { findProgram } from '../../scripts/stores/redis';
import { dataOf, environmentOf, layOut, podsOf, render, type Resource } from './render';
import { describeUnless, describeWithRealNode } from '../real-node';
import { useStores } from '../stores';
import { JOIN_TOKEN, startApp, until, type App } from '../e2e/harness';

const kubectl = findProgram('kubectl');
const NAME = 'switchyard-node-1';
const SERVES_MS = 40_000;

const WHAT = 'a media node as scripts/kubernetes starts it';

if (kubectl) describeWithRealNode(WHAT, (freeswitch) => theNode(kubectl, freeswitch));
else describeUnless('no kubectl found (PATH)', WHAT, () => undefined);

function theNode(program: string, freeswitch: string): void {
  let app: App;
  let all: Resource[];
  let node: Child | undefined;
  const dir = mkdtempSync(join(tmpdir(), 'switchyard-kubernetes-node-'));
  const kept = join(dir, 'kept');
  const query: Record<string, string> = { host: '127.0.0.1', wsUrl: '' };
  afterAll(async () => {
    await node?.stop();
    await app?.close();
    rmSync(dir, { recursive: true, force: true });
  });
  const stores = useStores();
  beforeAll(async () => {
    app = await startApp(stores);
    const laid = layOut();
    all = render(program, join(laid.dir, 'scripts', 'kubernetes', 'example'));
    laid.remove();
    for (const port of ['esl', 'sip', 'internode', 'ws']) query[port] = String(await findFreePort());
  });

  /** What the kubelet does: volumes, environment, program. Only the ports and addresses are this machine's. */
  function start(first: string): Child {
    const { spec } = podsOf(all).find(({ owner }) => owner.kind === 'StatefulSet')!;
    const container = spec.containers.find((each) => each.name === 'freeswitch')!;
    const { name, items } = spec.volumes!.find((volume) => volume.configMap)!.configMap!;
    for (const { key, path } of items!) {
      const file = join(dir, 'conf', path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, dataOf(all, 'ConfigMap', name)[key]!);
    }
    const { runAsUser: uid, runAsGroup: gid } = spec.securityContext as { runAsUser: number; runAsGroup: number };
    const user = process.getuid?.() === 0 ? { uid, gid } : undefined;
    chmodSync(dir, 0o711);
    for (const folder of ['state', 'kept']) {
      mkdirSync(join(dir, folder), { recursive: true });
      if (user) chownSync(join(dir, folder), uid, gid);
    }
    for (const file of readdirSync(kept)) {
      if (user) chownSync(join(kept, file), uid, gid); // in a pod its init container is of that user too
    }
    const env: Record<string, string> = environmentOf(all, container);
    const urlAt = (text: string, origin: string): string => {
      const url = new URL(`${origin}/freeswitch/xml${new URL(text).search}`);
      for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
      return String(url);
    };
    env.SWITCHYARD_XML_URL = urlAt(env.SWITCHYARD_XML_URL!, first);
    env.SWITCHYARD_XML_URL_2 = urlAt(env.SWITCHYARD_XML_URL_2!, app.url);
    const script = container
      .args![0]!.replaceAll('/kept', kept)
      .replaceAll('/state', join(dir, 'state'))
      .replace('/etc/freeswitch', join(dir, 'conf'))
      .replace('/usr/bin/freeswitch', freeswitch);
    return startChild({
      name: NAME,
      command: container.command![0]!,
      args: [...container.command!.slice(1), script],
      env: { PATH: process.env.PATH, ...env },
      user,
      logFile: join(dir, 'output.log'),
    });
  }
  const look = async (): Promise<{ state: string; host: string } | undefined> =>
    (await app.api('GET', '/v1/nodes')).body.items.find((each: { name: string }) => each.name === NAME);
  const serves = (): Promise<unknown> =>
    until(
      () => `it serves:\n${node!.lastLines()}`,
      async () => (await look())?.state === 'serving',
      SERVES_MS,
    );

  /** The init container of that name, which has ended when FreeSWITCH starts. */
  const enrol = (): Promise<boolean> => {
    const env = {
      SWITCHYARD_NODES_URL: app.nodesUrl,
      POD_NAME: NAME,
      NODE_JOIN_TOKEN: JOIN_TOKEN,
      NODE_SECRET_FILE: join(kept, 'secret'),
    };
    return enrolPod(readEnrolment(env, { say: () => undefined, stopped: AbortSignal.timeout(20_000), lookMs: 200 }));
  };

  test('joins the pool with a secret of its own, also where the first address answers nothing', async () => {
    mkdirSync(kept, { recursive: true });
    expect(await enrol()).toBe(true);
    node = start(`http://127.0.0.1:${await findFreePort()}`);
    await serves();
    const secret = readFileSync(join(kept, 'secret'), 'utf8');
    expect(secret).toMatch(/^[A-Za-z0-9_-]{32}$/);
    expect(statSync(join(kept, 'secret')).mode & 0o777).toBe(0o600);
    expect(app.lines.join('')).not.toContain(secret);
  }, 60_000);

  test('is drained and ended by its pod, and comes back under its name with the secret it has', async () => {
    const secret = readFileSync(join(kept, 'secret'), 'utf8');
    const own = { NODE_SECRET_FILE: join(kept, 'secret'), POD_NAME: NAME, DRAIN_DIR: dir };
    const env = { SWITCHYARD_NODES_URL: app.nodesUrl, ...own };
    const patience = { say: () => undefined, stopped: AbortSignal.timeout(80_000), lookMs: 200 };
    const pod = readPod({ ...env, DRAIN_DEADLINE_SECONDS: '60' }, patience);
    await leavePool(pod);
    expect((await look())?.state).toBe('draining');
    const began = Date.now();
    await node!.stop();
    process.stdout.write(`FreeSWITCH ended ${Date.now() - began} ms after it was told to\n`);
    expect((await node!.ended).signal).toBeNull();
    await until('it is gone', async () => (await look())?.state === 'down');
    node = start(app.url);
    await settleIn(pod);
    await serves();
    expect(readFileSync(join(kept, 'secret'), 'utf8')).toBe(secret);
  }, 90_000);
}
