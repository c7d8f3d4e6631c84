/** What happens to a node when its pod begins and ends on Kubernetes; the pod's own program, against a real Switchyard. */
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
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
} from '../../scripts/kubernetes/node-pod';
import { useStores } from '../stores';
import { ADMIN_KEY, JOIN_TOKEN, openYard, until, type Node, type Yard } from './harness';

let yard: Yard;
const dirs: string[] = [];
afterAll(async () => {
  await yard?.close();
  for (const dir of dirs) rmSync(dir, { recursive: true, force: true });
});
const stores = useStores();
beforeAll(async () => {
  yard = await openYard(stores);
  await yard.addNode('other');
});

const said: string[] = [];
beforeEach(() => void said.splice(0));

/** A new pod: what its containers share is its own. */
function podOf(name: string, o: { url?: string; key?: string; stopped?: AbortSignal } = {}): NodePod {
  const dir = mkdtempSync(join(tmpdir(), 'switchyard-pod-'));
  dirs.push(dir);
  const env = {
    SWITCHYARD_URL: o.url ?? yard.url,
    SWITCHYARD_API_KEY: o.key ?? ADMIN_KEY,
    POD_NAME: name,
    DRAIN_DIR: dir,
    DRAIN_DEADLINE_SECONDS: '3600',
  };
  const stopped = o.stopped ?? AbortSignal.timeout(150_000);
  return readPod(env, { say: (line) => void said.push(line), stopped, lookMs: 50 });
}

const stateOf = async (name: string): Promise<string | undefined> =>
  (await yard.api('GET', '/v1/nodes')).body.items.find((n: { name: string }) => n.name === name)?.state;
const drain = (node: Node) => yard.api('POST', `/v1/nodes/${node.id}/drain`, { deadlineSeconds: 60 });

test('a pod that ends takes no new calls, and its node stops only when the call on it is over', async () => {
  const node = await yard.addNode('pod-0');
  await yard.addPhone(node, 'ann', { answerAfterMs: 20 });
  const { id } = await yard.call('user:ann', '9196');
  expect(await yard.callIs(id, 'answered')).toMatchObject({ node: 'pod-0' });
  const pod = podOf('pod-0');
  const left = leavePool(pod);
  await yard.nodeIs(node, 'draining');
  await until('it waits', () => said.some((line) => /^waiting for 1 calls/.test(line)));
  expect(existsSync(emptyMark(pod.dir))).toBe(false);
  expect((await yard.readCall(id)).state).toBe('answered');
  await yard.hangUp(id);
  await left;
  expect(existsSync(emptyMark(pod.dir))).toBe(true);
  expect(await stateOf('pod-0')).toBeUndefined();
  expect(await yard.readCall(id)).toMatchObject({ outcome: 'answered', hangupCause: 'NORMAL_CLEARING' });
});

test('a pod whose node never joined, or was removed before, ends at once', async () => {
  const pod = podOf('nowhere');
  await leavePool(pod);
  expect(existsSync(emptyMark(pod.dir))).toBe(true);
});

test('a pod that ends while Switchyard is away waits for it, and does not stop its node meanwhile', async () => {
  let isAway = true;
  const door = createServer((request, response) => {
    if (isAway) return void response.writeHead(503).end();
    yard.api(request.method!, request.url!).then(
      (answer) => response.writeHead(answer.status).end(answer.body === undefined ? '' : JSON.stringify(answer.body)),
      () => response.destroy(),
    );
  });
  await new Promise<void>((resolve) => door.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(door.address() as AddressInfo).port}`;
  const patience = { say: (line: string) => void said.push(line), stopped: AbortSignal.timeout(150_000), lookMs: 50 };
  const ready = waitForSwitchyard(url, patience);
  const pod = podOf('gone', { url });
  const left = leavePool(pod);
  const both = ['GET /v1/pool: 503 Service Unavailable', 'Switchyard is not ready: 503'];
  await until(
    () => `both say so: ${said.join('; ')}`,
    () => both.every((line) => said.includes(line)),
  );
  expect(existsSync(emptyMark(pod.dir))).toBe(false);
  isAway = false;
  await left;
  expect(await ready).toBe(true);
  expect(existsSync(emptyMark(pod.dir))).toBe(true);
  await new Promise((resolve) => door.close(resolve));
});

test('a pod with a key that is not good enough does not let its node be stopped', async () => {
  const stopping = new AbortController();
  const pod = podOf('other', { key: 'sk_of_somebody_else_entirely', stopped: stopping.signal });
  const left = leavePool(pod);
  await until('it says so', () => said.some((line) => line.includes('401')));
  stopping.abort();
  await left;
  expect(existsSync(emptyMark(pod.dir))).toBe(false);
  expect(await stateOf('other')).toBe('serving');
});

test('a new pod takes calls again although the one before it was ended while it drained', async () => {
  const node = await yard.addNode('pod-1');
  await drain(node);
  const pod = podOf('pod-1');
  await settleIn(pod);
  expect(await stateOf('pod-1')).toBe('serving');
  // Somebody drains it on purpose, and then a container is started again, in the same pod.
  await drain(node);
  await settleIn(pod);
  expect(await stateOf('pod-1')).toBe('draining');
});

test('a pod makes its secret once, and its node is in before FreeSWITCH starts, with a token that stays behind', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'switchyard-pod-'));
  dirs.push(dir);
  const secretFile = join(dir, 'secret');
  const stopped = AbortSignal.timeout(60_000);
  const o = { say: (line: string) => void said.push(line), stopped, lookMs: 50 };
  const env = { SWITCHYARD_URL: yard.url, POD_NAME: 'pod-2', SECRET_FILE: secretFile };
  await expect(enrolPod(readEnrolment(env, o))).rejects.toThrow('pod-2 is not enrolled, and has no token');
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
  expect(() => readPod({ DRAIN_DEADLINE_SECONDS: '60' }, o)).toThrow('SWITCHYARD_URL is not set.');
});
