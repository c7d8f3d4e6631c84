/** Holds a drain to what people's phones do: a page with JsSIP, baresip with SRV, and a telephone that knows one node only. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '../../../scripts/api/client';
import { findFreePort } from '../../../scripts/stores/ports';
import { openRawSip, type RawSip } from '../../doors/raw-sip';
import { describeUnless } from '../../real-node';
import { useStores } from '../../stores';
import { followEvents } from '../../e2e/follow-events';
import { baresipBinary, startBaresip } from '../programs/baresip';
import { describeWithBrowser, startBrowserApp, type BrowserApp } from '../pages/browser';
import { startNameServer, type NameServer } from '../programs/dns-server';
import { startRealPool, type PoolNode, type RealPool } from '../pool/real-pool';

const DOMAIN = 'drain.test';
const STEP_MS = 30_000;
/** Two refreshes, and what a machine with much to do takes for them. */
const MOVE_MS = 90_000;

interface Grant {
  id: string;
  node: string;
  wssUrl: string;
  username: string;
  ha1: string;
  realm: string;
  token: string;
}

function describeWithPhones(
  name: string,
  tests: (freeswitch: string, chromium: string, baresip: string) => void,
): void {
  const baresip = baresipBinary();
  if (baresip) return describeWithBrowser(name, (freeswitch, chromium) => tests(freeswitch, chromium, baresip));
  describeUnless('no baresip found on PATH', name, () => undefined);
}

describeWithPhones('phones of a draining real node', (freeswitch, chromium, baresip) => {
  let pool: RealPool;
  let app: BrowserApp;
  let names: NameServer;
  let dir: string;
  const userIds = new Map<string, string>();
  const open: { close(): unknown }[] = [];

  afterAll(async () => {
    for (const one of open) await one.close();
    await app?.close();
    await pool?.stop();
    names?.close();
    if (dir) await rm(dir, { recursive: true, force: true });
  }, 60_000);

  const stores = useStores();

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'drain-'));
    [pool, app] = await Promise.all([startRealPool(freeswitch, stores, 2), startBrowserApp(chromium)]);
    await pool.api.post('/v1/domains', { name: DOMAIN });
    for (const username of ['page', 'desk', 'old', 'caller']) {
      const user = { domain: DOMAIN, username, password: `password-of-${username}` };
      userIds.set(username, (await pool.api.post<{ id: string }>('/v1/users', user)).id);
    }
  }, 300_000);

  const nodesOf = async (username: string): Promise<string[]> =>
    (
      await pool.api.get<{ registrations: { node: string }[] }>(`/v1/users/${userIds.get(username)!}`)
    ).registrations.map(({ node }) => node);
  const waitForNodes = (username: string, wanted: string, timeoutMs = STEP_MS): Promise<unknown> =>
    waitFor(
      `${username} to be at ${wanted}`,
      () => nodesOf(username),
      (found) => [...new Set(found)].sort().join() === wanted,
      timeoutMs,
    );
  const nodeAt = (name: string): PoolNode => pool.nodes.find((node) => node.name === name)!;
  const readNode = async (name: string): Promise<{ id: string; refusesPhones: boolean }> =>
    (await pool.api.get<{ items: { id: string; name: string; refusesPhones: boolean }[] }>('/v1/nodes')).items.find(
      (node) => node.name === name,
    )!;
  async function openGrantPage(grant: Grant) {
    const { username, ha1, realm } = grant;
    const phone = await app.openPhone({ wsUrl: grant.wssUrl, username, ha1, realm, domain: realm });
    open.push(phone);
    return phone;
  }
  const registerOld = (raw: RawSip, callId: string) =>
    raw.send({
      method: 'REGISTER',
      uri: `sip:${DOMAIN}`,
      from: `sip:old@${DOMAIN}`,
      to: `sip:old@${DOMAIN}`,
      contact: `sip:old@127.0.0.1:${raw.port}`,
      headers: ['Expires: 600', 'User-Agent: old telephone'],
      callId,
      login: { username: 'old', password: 'password-of-old' },
    });
  const say = (line: string): void => void process.stdout.write(`  ${line}\n`);

  test('a page is told and moves, baresip moves by SRV, and a telephone that knows no other node is still rung', async () => {
    const grant = await pool.api.post<Grant>(`/v1/users/${userIds.get('page')!}/grants`, {});
    const draining = grant.node;
    // The desk phone and the old one are at the node that drains: SRV names that one first.
    const first = nodeAt(draining);
    const other = pool.nodes.find((node) => node !== first)!;
    names = await startNameServer('_sip._udp.nodes.test', [first.sipPort, other.sipPort]);
    const page = await openGrantPage(grant);
    expect(page.registration).toBe('registered');
    const desk = await startBaresip(baresip, {
      dir: join(dir, 'desk'),
      username: 'desk',
      domain: DOMAIN,
      password: 'password-of-desk',
      server: 'nodes.test',
      transport: 'udp',
      namePort: names.port,
      port: await findFreePort(),
      expiresSeconds: 20,
    });
    open.push({ close: () => desk.stop() });
    const old = await openRawSip({ nodePort: first.sipPort });
    open.push(old);
    expect((await registerOld(old, 'old-1@test')).status).toBe(200);
    for (const username of ['page', 'desk', 'old']) await waitForNodes(username, draining);
    const events = followEvents(pool.url, grant.token, 'registration.move_requested');
    open.push({ close: () => events.close() });
    await waitFor(
      'the stream of the page',
      () => Promise.resolve(events.isOpen()),
      (is) => is,
      STEP_MS,
    );

    const beganMs = Date.now();
    await pool.api.post(`/v1/nodes/${(await readNode(draining)).id}/drain`, { deadlineSeconds: 600 });
    await waitFor(
      'the page to be told',
      () => Promise.resolve(events.got.length),
      (count) => count > 0,
      STEP_MS,
    );
    say(`the page was told ${Date.now() - beganMs} ms after the drain`);
    const self = await fetch(`${pool.url}/v1/grants/self`, { headers: { authorization: `Bearer ${grant.token}` } });
    const place = (await self.json()) as Grant;
    expect(place.node).toBe(other.name);
    const moved = await openGrantPage({ ...grant, ...place });
    expect(moved.registration).toBe('registered');
    await page.close(); // its socket to the old node
    await waitForNodes('page', other.name);
    say(`the page is at ${other.name} ${Date.now() - beganMs} ms after the drain`);

    await waitFor(
      'the node to turn phones away',
      () => readNode(draining),
      (n) => n.refusesPhones,
      STEP_MS,
    );
    const refused = await registerOld(old, 'old-1@test');
    say(`the old telephone's REGISTER: ${refused.message.start}`);
    expect(refused.status).toBe(503);
    const dialled = await old.send({
      method: 'INVITE',
      uri: `sip:9196@${DOMAIN}`,
      from: `sip:old@${DOMAIN}`,
      to: `sip:9196@${DOMAIN}`,
      login: { username: 'old', password: 'password-of-old' },
    });
    expect(dialled.status).toBe(503);
    // A patient must reach a doctor: it is rung where it is, since it is nowhere else.
    const call = await pool.api.post<{ id: string }>('/v1/calls', { domain: DOMAIN, from: 'user:old', to: '9196' });
    await waitFor(
      'the old telephone to be rung',
      () => pool.api.get<{ state: string }>(`/v1/calls/${call.id}`),
      ({ state }) => state === 'answered',
      STEP_MS,
    );
    expect(old.countOf('INVITE')).toBe(1);
    await pool.api.post(`/v1/calls/${call.id}/hangup`);

    await waitFor(
      'baresip to be at the other node',
      () => nodesOf('desk'),
      (found) => found.includes(other.name),
      MOVE_MS,
    );
    say(`baresip is at ${other.name} ${Date.now() - beganMs} ms after the drain: ${desk.lastLines(3)}`);
    // Wherever its old contact still stands, it is rung once and at the new node.
    const second = await pool.api.post<{ id: string }>('/v1/calls', { domain: DOMAIN, from: 'user:desk', to: '9196' });
    const ringing = await waitFor(
      'baresip to ring',
      () => pool.api.get<{ state: string; legs: { node: string }[] }>(`/v1/calls/${second.id}`),
      ({ state }) => state === 'ringing',
      STEP_MS,
    );
    expect(ringing.legs.map(({ node }) => node)).toEqual([other.name]);
    await pool.api.post(`/v1/calls/${second.id}/hangup`);

    await pool.api.post(`/v1/nodes/${(await readNode(draining)).id}/resume`);
    await waitFor(
      'the node to take phones',
      () => readNode(draining),
      (n) => !n.refusesPhones,
      STEP_MS,
    );
    expect((await registerOld(old, 'old-1@test')).status).toBe(200);
  }, 600_000);
});
