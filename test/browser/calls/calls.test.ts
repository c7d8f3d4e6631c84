/** Holds whole calls to what people get: browsers and a phone at real nodes, sound and video both ways. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '../../../scripts/api/client';
import { startPhone, type Phone, type PhoneOptions } from '../../../scripts/sip-phone/phone';
import { useStores } from '../../stores';
import {
  describeWithBrowser,
  startBrowserApp,
  type BrowserApp,
  type BrowserPhone,
  type BrowserPhoneOptions,
  type Received,
} from '../pages/browser';
import { startRealPool, type PoolNode, type RealPool } from '../pool/real-pool';

const DOMAIN = 'browser.test';
const STEP_MS = 15_000;
/** A second of sound is 50 packets. */
const PACKETS = 50;

interface Call {
  id: string;
  state: string;
  outcome: string | null;
  node: string | null;
  hangupCause: string | null;
  talkSeconds: number | null;
  attempts: {
    number: number;
    node: string;
    rangAt: string | null;
    result: string | null;
    hangupCause: string | null;
  }[];
  legs: { role: string; state: string }[];
}

interface Placement {
  decisions: { attempt: number; node: string | null; explanation: string[] }[];
}

describeWithBrowser('calls of browsers at real nodes', (freeswitch, chromium) => {
  const passwords = new Map<string, string>();
  let pool: RealPool;
  let app: BrowserApp;
  let open: { close(): Promise<void> }[] = [];

  // Before useStores(), whose own afterAll takes the database away: jest runs them in this order.
  afterAll(async () => {
    await app?.close();
    await pool?.stop();
  }, 30_000);

  const stores = useStores();

  beforeAll(async () => {
    [pool, app] = await Promise.all([startRealPool(freeswitch, stores, 3), startBrowserApp(chromium)]);
    await pool.api.post('/v1/domains', { name: DOMAIN, displayName: 'Browsers' });
    for (const username of ['alice', 'bob']) {
      const password = randomBytes(12).toString('base64url');
      passwords.set(username, password);
      await pool.api.post('/v1/users', { domain: DOMAIN, username, password, displayName: username });
    }
  }, 60_000);

  afterEach(async () => {
    await Promise.all(open.map((phone) => phone.close()));
    open = [];
    for (const username of passwords.keys()) await waitForRegistrations(username, 0);
  });

  const nodeAt = (index: number): PoolNode => pool.nodes[index]!;

  async function openBrowser(
    username: string,
    node: PoolNode,
    o: Partial<BrowserPhoneOptions> = {},
  ): Promise<BrowserPhone> {
    const password = passwords.get(username)!;
    const phone = await app.openPhone({ wsUrl: node.wsUrl, username, domain: DOMAIN, password, ...o });
    open.push(phone);
    return phone;
  }

  async function openUdp(username: string, node: PoolNode, o: Partial<PhoneOptions> = {}): Promise<Phone> {
    const password = passwords.get(username)!;
    const at = { nodeHost: node.host, nodePort: node.sipPort };
    const phone = await startPhone({ username, domain: DOMAIN, password, ...at, sound: 'silence', ...o });
    open.push({ close: () => phone.stop() });
    return phone;
  }

  const waitForRegistrations = (username: string, count: number): Promise<unknown> =>
    waitFor(
      `${username} to have ${count} registrations`,
      () => pool.api.get<{ items: { registrations: unknown[] }[] }>(`/v1/users?domain=${DOMAIN}&username=${username}`),
      ({ items }) => items[0]?.registrations.length === count,
      STEP_MS,
    );

  const readCall = (id: string): Promise<Call> => pool.api.get<Call>(`/v1/calls/${id}`);

  async function waitForCall(id: string, state: string): Promise<Call> {
    let last: Call | undefined;
    const read = async (): Promise<Call> => (last = await readCall(id));
    return waitFor(`the call to be ${state}`, read, (call) => call.state === state || call.state === 'ended', STEP_MS)
      .then((call) => {
        expect(call).toMatchObject({ state });
        return call;
      })
      .catch((fault: Error) => {
        throw new Error(`${fault.message}\n${JSON.stringify(last)}\n${pool.warnings.slice(-10).join('')}`);
      });
  }

  async function startCall(): Promise<string> {
    const asked = { domain: DOMAIN, from: 'user:alice', to: 'user:bob', ringTimeoutSeconds: 20 };
    return (await pool.api.post<Call>('/v1/calls', asked)).id;
  }

  const waitToReceive = (phone: BrowserPhone, enough: (received: Received) => boolean): Promise<Received> =>
    waitFor('sound and video to arrive', phone.received, enough, STEP_MS).catch(async (fault: Error) => {
      const seen = JSON.stringify([await phone.received(), await phone.sessions()]);
      throw new Error(`${fault.message} ${seen}`);
    });

  const hearsSound = (received: Received): boolean => received.audioPackets > PACKETS && received.audioEnergy > 0;

  /** Lets them talk for two seconds, ends the call, and holds its record to the clock. */
  async function talkAndEnd(id: string): Promise<Call> {
    const answered = await waitForCall(id, 'answered');
    await sleep(2000);
    await pool.api.post(`/v1/calls/${id}/hangup`);
    const ended = await waitForCall(id, 'ended');
    expect(ended).toMatchObject({ outcome: 'answered', node: answered.node });
    return ended;
  }

  function expectTalk(call: Call, fromMs: number): void {
    const expected = (Date.now() - fromMs) / 1000;
    expect(Math.abs(call.talkSeconds! - expected)).toBeLessThanOrEqual(1);
  }

  async function findNode({ name }: PoolNode): Promise<{ id: string }> {
    const { items } = await pool.api.get<{ items: { id: string; name: string }[] }>('/v1/nodes');
    return items.find((node) => node.name === name)!;
  }

  const say = (line: string): void => void process.stdout.write(`  ${line}\n`);

  test('refuses a wrong password', async () => {
    const phone = await openBrowser('alice', nodeAt(0), { password: 'not this one' });
    expect(phone.registration).toMatch(/^(401|403) /);
    await waitForRegistrations('alice', 0);
  });

  test.each([
    ['the same node', 0],
    ['different nodes', 1],
  ])('connects a browser and a UDP phone at %s', async (_, other) => {
    const alice = await openBrowser('alice', nodeAt(0));
    expect(alice.registration).toBe('registered');
    const bob = await openUdp('bob', nodeAt(other));
    await Promise.all(['alice', 'bob'].map((username) => waitForRegistrations(username, 1)));

    const askedAt = Date.now();
    const id = await startCall();
    await waitForCall(id, 'answered');
    const answeredAt = Date.now();
    const heard = await waitToReceive(alice, ({ audioPackets }) => audioPackets > PACKETS);
    await waitFor(
      'the phone to hear',
      () => Promise.resolve(bob.heard()),
      (count) => count > PACKETS,
      STEP_MS,
    );
    const ended = await talkAndEnd(id);
    expectTalk(ended, answeredAt);
    await waitFor('the browser to see the end', alice.sessions, ([one]) => one?.state === 'ended', STEP_MS);

    const { decisions } = await pool.api.get<Placement>(`/v1/calls/${id}/placement`);
    expect(decisions).toHaveLength(1);
    expect(decisions[0]!.node).toBe(ended.node);
    expect(decisions[0]!.explanation.join('\n')).toContain(ended.node);
    say(
      `answered after ${answeredAt - askedAt} ms; browser received ${heard.audioPackets} (${heard.audioCodec}), phone ` +
        `${bob.heard()} packets; ${ended.talkSeconds} s of talk\n    ${decisions[0]!.explanation.join('\n    ')}`,
    );
  });

  test.each([
    ['the same node', 0],
    ['different nodes', 1],
  ])('connects two browsers at %s with sound and video', async (_, other) => {
    const alice = await openBrowser('alice', nodeAt(0), { video: true });
    const bob = await openBrowser('bob', nodeAt(other), { video: true });
    await Promise.all(['alice', 'bob'].map((username) => waitForRegistrations(username, 1)));

    const id = await startCall();
    await waitForCall(id, 'answered');
    const answeredAt = Date.now();
    const enough = (received: Received): boolean => hearsSound(received) && received.framesDecoded > 10;
    const [atAlice, atBob] = await Promise.all([waitToReceive(alice, enough), waitToReceive(bob, enough)]);
    expect([atAlice.videoCodec, atBob.videoCodec]).toEqual(['video/VP8', 'video/VP8']);
    expectTalk(await talkAndEnd(id), answeredAt);
    say(`alice ${JSON.stringify(atAlice)}\n  bob   ${JSON.stringify(atBob)}`);
  });

  test('connects a browser that dials, and writes its call down', async () => {
    const alice = await openBrowser('alice', nodeAt(0));
    const bob = await openBrowser('bob', nodeAt(1));
    await Promise.all(['alice', 'bob'].map((username) => waitForRegistrations(username, 1)));
    await alice.call('bob');
    await waitToReceive(alice, hearsSound);
    await waitToReceive(bob, hearsSound);
    await bob.hangup();
    await waitFor('alice to see the end', alice.sessions, ([one]) => one?.state === 'ended', STEP_MS);
    const { items } = await pool.api.get<{ items: Call[] }>(`/v1/calls?domain=${DOMAIN}&limit=1`);
    const ended = await waitForCall(items[0]!.id, 'ended');
    expect(ended).toMatchObject({ origin: 'phone', outcome: 'answered', node: nodeAt(0).name });
  });

  test('ends the call of somebody who talks to a node that is killed', async () => {
    const alice = await openBrowser('alice', nodeAt(2));
    const bob = await openBrowser('bob', nodeAt(1));
    await Promise.all(['alice', 'bob'].map((username) => waitForRegistrations(username, 1)));
    const id = await startCall();
    expect(await waitForCall(id, 'answered')).toMatchObject({ node: nodeAt(2).name });
    await waitToReceive(bob, hearsSound);
    const killedAt = Date.now();
    nodeAt(2).process.kill('SIGKILL');
    await waitFor('bob to see the end', bob.sessions, ([one]) => one?.state === 'ended', STEP_MS);
    say(`the other end was free after ${Date.now() - killedAt} ms`);
    expect(await waitForCall(id, 'ended')).toMatchObject({ outcome: 'lost', hangupCause: 'NODE_DIED' });
    await alice.close();
  });

  test('goes on at the other node when the one that rings is killed', async () => {
    const browsers = [
      await openBrowser('alice', nodeAt(0), { answerAfterMs: null }),
      await openBrowser('alice', nodeAt(1), { answerAfterMs: 3000 }),
    ];
    const phones = [await openUdp('bob', nodeAt(0)), await openUdp('bob', nodeAt(1))];
    await Promise.all(['alice', 'bob'].map((username) => waitForRegistrations(username, 2)));
    // Drained, a node is out of the question for the first attempt; phones stay registered at it.
    const other = await findNode(nodeAt(1));
    await pool.api.post(`/v1/nodes/${other.id}/drain`);

    const id = await startCall();
    await waitFor('the browser to ring', browsers[0]!.sessions, ([one]) => one?.state === 'ringing', STEP_MS);
    await waitForCall(id, 'ringing');
    await pool.api.post(`/v1/nodes/${other.id}/resume`);
    const killedAt = Date.now();
    nodeAt(0).process.kill('SIGKILL');

    await waitForCall(id, 'answered');
    const answeredAt = Date.now();
    const heard = await waitToReceive(browsers[1]!, ({ audioPackets }) => audioPackets > PACKETS);
    const before = phones[1]!.heard();
    await waitFor(
      'the phone to hear',
      () => Promise.resolve(phones[1]!.heard()),
      (count) => count > before,
      STEP_MS,
    );
    const ended = await talkAndEnd(id);
    expectTalk(ended, answeredAt);
    expect(ended.node).toBe(nodeAt(1).name);
    expect(ended.attempts).toMatchObject([
      { number: 1, node: nodeAt(0).name, hangupCause: 'NODE_DIED' },
      { number: 2, node: nodeAt(1).name },
    ]);
    expect(ended.attempts[0]!.rangAt).not.toBeNull();
    say(`answered ${answeredAt - killedAt} ms after the kill; browser received ${heard.audioPackets} packets`);
    // The ring that the dead node had started is over before the second begins: nobody answers into nothing.
    const rings = await browsers[1]!.sessions();
    expect(rings.map(({ state }) => state)).toEqual(['failed', 'ended']);
    say(JSON.stringify(rings));
  });
});
