/** Holds grants to what people get: browsers that come by grant at real nodes, through coturn, and are put out again. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '../../../scripts/api/client';
import { describeUnless } from '../../real-node';
import { useStores } from '../../stores';
import {
  describeWithBrowser,
  startBrowserApp,
  type BrowserApp,
  type BrowserPhone,
  type BrowserPhoneOptions,
  type Received,
} from '../pages/browser';
import { startRealPool, type RealPool } from '../pool/real-pool';
import { startTurnServer, turnServerBinary, type TurnServer } from '../programs/turn-server';

const DOMAIN = 'grants.test';
const STEP_MS = 15_000;
const PACKETS = 50;

interface Grant {
  id: string;
  wssUrl: string;
  username: string;
  ha1: string;
  realm: string;
  target: string | null;
  node: string;
  token: string;
  iceServers: { urls: string[]; username?: string; credential?: string }[];
}

interface Event {
  type: string;
  data: Record<string, unknown>;
}

function describeWithTurn(name: string, tests: (freeswitch: string, chromium: string, turn: string) => void): void {
  const turn = turnServerBinary();
  if (turn) return describeWithBrowser(name, (freeswitch, chromium) => tests(freeswitch, chromium, turn));
  describeUnless('no turnserver found (TURNSERVER_BIN or PATH)', name, () => undefined);
}

describeWithTurn('grants of browsers at real nodes', (freeswitch, chromium, turnBinary) => {
  let pool: RealPool;
  let app: BrowserApp;
  let turn: TurnServer;
  let dir: string;
  let roomId: string;
  const userIds = new Map<string, string>();
  let open: BrowserPhone[] = [];

  afterAll(async () => {
    await app?.close();
    await pool?.stop();
    await turn?.stop();
    if (dir) await rm(dir, { recursive: true, force: true });
  }, 30_000);

  const stores = useStores();

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'grants-'));
    turn = await startTurnServer(turnBinary, dir);
    const environment = { TURN_URLS: turn.url, TURN_SECRET: turn.secret };
    [pool, app] = await Promise.all([startRealPool(freeswitch, stores, 2, environment), startBrowserApp(chromium)]);
    await pool.api.post('/v1/domains', { name: DOMAIN });
    for (const username of ['alice', 'bob']) {
      const user = { domain: DOMAIN, username, password: `password of ${username}`, displayName: username };
      userIds.set(username, (await pool.api.post<{ id: string }>('/v1/users', user)).id);
    }
    roomId = (await pool.api.post<{ id: string }>('/v1/rooms', { domain: DOMAIN, name: 'daily' })).id;
  }, 90_000);

  afterEach(async () => {
    await Promise.all(open.map((phone) => phone.close()));
    open = [];
  });

  const grantRoom = (body: object = {}): Promise<Grant> => pool.api.post<Grant>(`/v1/rooms/${roomId}/grants`, body);
  const grantUser = (username: string): Promise<Grant> =>
    pool.api.post<Grant>(`/v1/users/${userIds.get(username)!}/grants`, {});

  async function openByGrant(grant: Grant, o: Partial<BrowserPhoneOptions> = {}): Promise<BrowserPhone> {
    const { wssUrl: wsUrl, username, ha1, realm, iceServers } = grant;
    const phone = await app.openPhone({ wsUrl, username, ha1, realm, domain: realm, iceServers, ...o });
    open.push(phone);
    return phone;
  }

  const stateOf = async (phone: BrowserPhone): Promise<string | undefined> => (await phone.sessions()).at(-1)?.state;
  const waitForState = (phone: BrowserPhone, state: string): Promise<unknown> =>
    waitFor(
      `the call to be ${state}`,
      () => stateOf(phone),
      (now) => now === state,
      STEP_MS,
    ).catch(async (fault: Error) => {
      const nodes = pool.nodes.map((node) => node.process.lastLines()).join('\n');
      throw new Error(
        `${fault.message} ${JSON.stringify(await phone.sessions())}\n${pool.warnings.join('')}\n${nodes}`,
      );
    });
  const waitToHear = (phone: BrowserPhone): Promise<Received> =>
    waitFor('sound to arrive', phone.received, ({ audioPackets }) => audioPackets > PACKETS, STEP_MS);
  const registrationsOf = async (username: string): Promise<{ node: string }[]> =>
    (await pool.api.get<{ registrations: { node: string }[] }>(`/v1/users/${userIds.get(username)!}`)).registrations;
  const waitForRegistrations = (username: string, count: number): Promise<unknown> =>
    waitFor(
      `${count} registrations`,
      () => registrationsOf(username),
      (list) => list.length === count,
      STEP_MS,
    );
  async function revoke(grant: Grant): Promise<void> {
    const response = await fetch(`${pool.url}/v1/grants/${grant.id}`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${pool.apiKey}` },
      signal: AbortSignal.timeout(STEP_MS),
    });
    expect(response.status).toBe(204);
  }
  const eventsSince = (since: number): string =>
    `/v1/events?domain=${DOMAIN}&format=json&limit=1000&types=grant.*,registration.*&userId=${userIds.get('alice')!}&since=${since}`;

  async function openUser(username: string, index: number): Promise<BrowserPhone> {
    const { wsUrl } = pool.nodes[index]!;
    const phone = await app.openPhone({ wsUrl, username, domain: DOMAIN, password: `password of ${username}` });
    open.push(phone);
    return phone;
  }
  const say = (line: string): void => void process.stdout.write(`  ${line}\n`);

  test('lets two guests meet in a room, with sound and video through coturn only', async () => {
    const grants = [await grantRoom({ name: 'Ann', role: 'moderator' }), await grantRoom({ name: 'Ben' })];
    expect(grants[1]!.node).toBe(grants[0]!.node);
    const o = { register: false, video: true, iceTransportPolicy: 'relay' as const };
    const phones = [await openByGrant(grants[0]!, o), await openByGrant(grants[1]!, o)];
    for (const [i, phone] of phones.entries()) await phone.call(grants[i]!.target!);
    const heard = await Promise.all(phones.map(waitToHear));
    await waitFor('a video', phones[1]!.received, ({ framesDecoded }) => framesDecoded > 5, STEP_MS);
    expect(await Promise.all(phones.map((phone) => phone.way()))).toEqual(['relay', 'relay']);
    expect(turn.log()).toContain(grants[0]!.id);
    say(`heard ${heard.map(({ audioPackets }) => audioPackets).join(' and ')} packets through ${turn.url}`);
  }, 90_000);

  test('refuses who shows a wrong digest, an expired grant or a name that was never given', async () => {
    const good = await grantRoom({});
    const forged = { ...good, ha1: 'f'.repeat(32) };
    const invented = { ...good, username: `g-${'a'.repeat(26)}` };
    const late = await grantRoom({});
    await stores
      .db('grants')
      .where({ id: late.id })
      .update({ expires_at: new Date(Date.now() - 1000) });
    for (const grant of [forged, invented, late]) {
      const phone = await openByGrant(grant);
      expect(phone.registration).toMatch(/^(401|403) /);
      await phone.call(grant.target!);
      await waitForState(phone, 'failed');
      say(JSON.stringify(await phone.sessions()));
    }
  }, 90_000);

  test('puts a guest out within a second when the grant is revoked, and lets them in no more', async () => {
    const grant = await grantRoom({ name: 'Cid' });
    const phone = await openByGrant(grant, { register: false });
    await phone.call(grant.target!);
    await waitToHear(phone);
    const askedAt = Date.now();
    await revoke(grant);
    await waitForState(phone, 'ended');
    const tookMs = Date.now() - askedAt;
    expect(tookMs).toBeLessThan(1000);
    await phone.call(grant.target!);
    await waitForState(phone, 'failed');
    say(`out ${tookMs} ms after the request; then ${JSON.stringify((await phone.sessions()).at(-1))}`);
    const again = await openByGrant(grant);
    expect(again.registration).toMatch(/^403 /);
  }, 90_000);

  test('rings a user at the phone that came by grant, also from another node', async () => {
    const grant = await grantUser('alice');
    const phone = await openByGrant(grant);
    expect(phone.registration).toBe('registered');
    await waitForRegistrations('alice', 1);
    expect((await registrationsOf('alice'))[0]!.node).toBe(grant.node);
    for (const index of pool.nodes.keys()) {
      const bob = await openUser('bob', index);
      await bob.call('alice');
      await waitToHear(bob);
      await waitToHear(phone);
      await bob.hangup();
      await waitForState(phone, 'ended');
      if (index === 0) await bob.close();
    }
    await phone.call('bob');
    await waitToHear(phone);
    const { items } = await pool.api.get<{ items: { from: string }[] }>(`/v1/calls?domain=${DOMAIN}&limit=1`);
    expect(items[0]!.from).toBe('user:alice');
  }, 90_000);

  test("ends a user's registration and call when the grant is revoked, and says so without secrets", async () => {
    const grant = await grantUser('alice');
    const phone = await openByGrant(grant);
    await waitForRegistrations('alice', 1);
    const { nextSince } = await pool.api.get<{ nextSince: number }>(eventsSince(0));
    const bob = await openUser('bob', 0);
    await bob.call('alice');
    await waitForState(phone, 'talking');
    await revoke(grant);
    await waitForState(phone, 'ended');
    await waitForRegistrations('alice', 0);
    const { items } = await pool.api.get<{ items: Event[] }>(eventsSince(nextSince));
    expect(items.map(({ type }) => type)).toEqual(['registration.ended', 'grant.revoked']);
    const all = JSON.stringify((await pool.api.get<{ items: Event[] }>(eventsSince(0))).items);
    expect(all).toContain('grant.used');
    for (const secret of [grant.ha1, grant.token, turn.secret]) expect(all).not.toContain(secret);
  }, 90_000);
});
