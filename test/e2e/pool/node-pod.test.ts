/** What happens to a node when its pod begins and ends on Kubernetes; the pod's own program, against a real Switchyard. */
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  emptyMark,
  enrolPod,
  leavePool,
  readEnrolment,
  readPod,
  settleIn,
  waitForSwitchyard,
  type NodePod,
} from '../../../scripts/kubernetes/node-pod';
import { useStores } from '../../stores';
import { JOIN_TOKEN, startApp, until, type Node, type App } from '../harness';

let app: App;
const dirs: string[] = [];
afterAll(async () => {
  await app?.close();
  for (const dir of dirs) rmSync(dir, { recursive: true, force: true });
});
const stores = useStores();
beforeAll(async () => {
  app = await startApp(stores, { nodesPort: 0 });
  await app.addNode('other');
});

const said: string[] = [];
beforeEach(() => void said.splice(0));

/** As it is kept beside a node's recordings. */
const secretOf = (node: Node): string => node.password;
const SOMEBODY_ELSES = 'secret-of-somebody-else-entirely';

/** A new pod: what its containers share is its own. */
function podOf(name: string, secret: string | undefined, o: { url?: string; stopped?: AbortSignal } = {}): NodePod {
  const dir = mkdtempSync(join(tmpdir(), 'switchyard-pod-'));
  dirs.push(dir);
  if (secret !== undefined) writeFileSync(join(dir, 'secret'), `${secret}\n`);
  const env = {
    SWITCHYARD_NODES_URL: o.url ?? app.nodesUrl,
    NODE_SECRET_FILE: join(dir, 'secret'),
    POD_NAME: name,
    DRAIN_DIR: dir,
    DRAIN_DEADLINE_SECONDS: '3600',
  };
  const stopped = o.stopped ?? AbortSignal.timeout(150_000);
  return readPod(env, { say: (line) => void said.push(line), stopped, lookMs: 50 });
}

const stateOf = async (name: string): Promise<string | undefined> =>
  (await app.api('GET', '/v1/nodes')).body.items.find((n: { name: string }) => n.name === name)?.state;
const drain = (node: Node) => app.api('POST', `/v1/nodes/${node.id}/drain`, { deadlineSeconds: 60 });

async function ask(node: Pick<Node, 'name'>, secret: string, method: string, path: string, body?: string) {
  const authorization = `Basic ${Buffer.from(`${node.name}:${secret}`).toString('base64')}`;
  const answer = await fetch(`${app.nodesUrl}/freeswitch/${path}`, { method, headers: { authorization }, body });
  return { status: answer.status, text: await answer.text() };
}

test('a pod that ends takes no new calls, its node stops only when the call on it is over, and its name is kept', async () => {
  const node = await app.addNode('pod-0');
  const phone = await app.addPhone(node, 'ann', { answerAfterMs: 20 });
  const { id } = await app.call('user:ann', '9196');
  expect(await app.callIs(id, 'answered')).toMatchObject({ node: 'pod-0' });
  const pod = podOf('pod-0', secretOf(node));
  const left = leavePool(pod);
  await app.nodeIs(node, 'draining');
  await until('it waits', () => said.some((line) => /^waiting for 1 calls/.test(line)));
  expect(existsSync(emptyMark(pod.dir))).toBe(false);
  expect((await app.readCall(id)).state).toBe('answered');
  await app.hangUp(id);
  await until('its phone is waited for', () => said.some((line) => / 0 files, 1 phones$/.test(line)));
  expect(existsSync(emptyMark(pod.dir))).toBe(false);
  phone.unregister();
  await left;
  expect(existsSync(emptyMark(pod.dir))).toBe(true);
  expect(await app.readCall(id)).toMatchObject({ outcome: 'answered', hangupCause: 'NORMAL_CLEARING' });
  await node.kill();
  await app.nodeIs(node, 'down'); // the row stays, and with it the secret that the next pod of this name shows
});

test('a pod whose node never started, never joined, or was removed, ends at once', async () => {
  for (const [name, secret] of [
    ['nowhere', undefined],
    ['nowhere', SOMEBODY_ELSES],
  ] as const) {
    const pod = podOf(name, secret);
    await leavePool(pod);
    expect(existsSync(emptyMark(pod.dir))).toBe(true);
  }
});

test('a pod that ends while Switchyard is away waits for it, and does not stop its node meanwhile', async () => {
  let isAway = true;
  const door = createServer((request, response) => {
    if (isAway) return void response.writeHead(503).end();
    const { authorization = '' } = request.headers;
    fetch(app.nodesUrl + request.url!, { method: request.method, headers: { authorization } }).then(
      async (answer) => response.writeHead(answer.status).end(await answer.text()),
      () => response.destroy(),
    );
  });
  await new Promise<void>((resolve) => door.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(door.address() as AddressInfo).port}`;
  const patience = { say: (line: string) => void said.push(line), stopped: AbortSignal.timeout(150_000), lookMs: 50 };
  const ready = waitForSwitchyard(url, patience);
  const pod = podOf('gone', SOMEBODY_ELSES, { url });
  const left = leavePool(pod);
  const both = ['GET /freeswitch/state: 503', 'Switchyard is not ready: 503'];
  await until(
    () => `both say so: ${said.join('; ')}`,
    () => both.every((line) => said.some((each) => each.trim() === line)),
  );
  expect(existsSync(emptyMark(pod.dir))).toBe(false);
  isAway = false;
  await left;
  expect(await ready).toBe(true);
  expect(existsSync(emptyMark(pod.dir))).toBe(true);
  await new Promise((resolve) => door.close(resolve));
});

test('a pod that shows the secret of another node drains nobody', async () => {
  const mine = await app.addNode('mine');
  for (const name of ['other', 'mine', 'nowhere', ''])
    for (const [method, path] of [
      ['GET', 'state'],
      ['POST', 'drain'],
      ['POST', 'resume'],
    ] as const) {
      const secret = name === 'mine' ? SOMEBODY_ELSES : secretOf(mine);
      const answer = await ask({ name }, secret, method, path, method === 'POST' ? '{"deadlineSeconds":0}' : undefined);
      // A name that is none is answered like one that is.
      expect([name, path, answer]).toEqual([
        name,
        path,
        { status: 401, text: 'unauthorized: Unknown node, or wrong secret.\n' },
      ]);
    }
  expect([await stateOf('other'), await stateOf('mine')]).toEqual(['serving', 'serving']);
});

test('a new pod takes calls again although the one before it was ended while it drained', async () => {
  const node = await app.addNode('pod-1');
  const first = podOf('pod-1', secretOf(node));
  expect(await first.door.drain(60)).toMatchObject({ state: 'draining', drainedItself: true });
  const pod = podOf('pod-1', secretOf(node));
  await settleIn(pod);
  expect(await stateOf('pod-1')).toBe('serving');
  // It drains again, and then a container is started anew, in the same pod.
  await pod.door.drain(60);
  await settleIn(pod);
  expect(await stateOf('pod-1')).toBe('draining');
});

test('a node that was broken into takes no calls again which an operator took from it', async () => {
  const node = await app.addNode('pod-2');
  await drain(node);
  const pod = podOf('pod-2', secretOf(node));
  await settleIn(pod);
  expect(said).toEqual(['pod-2: an operator drained it: it stays drained']);
  await expect(pod.door.resume()).rejects.toThrow(/409 conflict/);
  // Nor does draining itself make the drain its own, or move the operator's deadline.
  const deadline = async (): Promise<string> =>
    (await app.must(200, 'GET', `/v1/nodes/${node.id}`)).drainDeadlineAt as string;
  const before = await deadline();
  expect(await pod.door.drain(0)).toMatchObject({ state: 'draining', drainedItself: false });
  expect(await deadline()).toBe(before);
  await expect(pod.door.resume()).rejects.toThrow(/409 conflict/);
  // An operator's drain of a node that drains by itself is the operator's from then on.
  await app.must(200, 'POST', `/v1/nodes/${node.id}/resume`);
  await pod.door.drain(60);
  await drain(node);
  await expect(pod.door.resume()).rejects.toThrow(/409 conflict/);
  expect(await stateOf('pod-2')).toBe('draining');
});

test('what is no order is refused, and nothing is drained', async () => {
  const node = await app.addNode('pod-3');
  const refused: [string, number][] = [
    ['', 400],
    ['{', 400],
    ['{}', 400],
    ['{"deadlineSeconds":-1}', 400],
    ['{"deadlineSeconds":"0"}', 400],
    ['{"deadlineSeconds":0,"node":"other"}', 400],
    [`{"deadlineSeconds":0${' '.repeat(2000)}}`, 413],
  ];
  for (const [body, status] of refused)
    expect([body.trim().slice(0, 30), (await ask(node, secretOf(node), 'POST', 'drain', body)).status]).toEqual([
      body.trim().slice(0, 30),
      status,
    ]);
  expect((await ask(node, secretOf(node), 'GET', 'drain')).status).toBe(405);
  expect(await stateOf('pod-3')).toBe('serving');
});

test('a pod makes its secret once, and its node is in before FreeSWITCH starts, with a token that stays behind', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'switchyard-pod-'));
  dirs.push(dir);
  const secretFile = join(dir, 'secret');
  const stopped = AbortSignal.timeout(60_000);
  const o = { say: (line: string) => void said.push(line), stopped, lookMs: 50 };
  const env = { SWITCHYARD_NODES_URL: app.nodesUrl, POD_NAME: 'pod-4', NODE_SECRET_FILE: secretFile };
  await expect(enrolPod(readEnrolment(env, o))).rejects.toThrow('pod-4 is not enrolled, and has no valid join token');
  expect(await enrolPod(readEnrolment({ ...env, NODE_JOIN_TOKEN: JOIN_TOKEN }, o))).toBe(true);
  const secret = readFileSync(secretFile, 'utf8');
  expect(statSync(secretFile).mode & 0o777).toBe(0o600);
  expect(secret).not.toContain(JOIN_TOKEN);
  // Started again it needs no token, and keeps its secret.
  expect(await enrolPod(readEnrolment(env, o))).toBe(true);
  expect(readFileSync(secretFile, 'utf8')).toBe(secret);
});

test('what the pod does not say is named', () => {
  const o = { say: () => undefined, stopped: AbortSignal.abort(), lookMs: 1 };
  expect(() => readPod({ DRAIN_DEADLINE_SECONDS: '1.5' }, o)).toThrow('DRAIN_DEADLINE_SECONDS must be a whole number');
  expect(() => readPod({ DRAIN_DEADLINE_SECONDS: '60' }, o)).toThrow('POD_NAME is not set.');
});
