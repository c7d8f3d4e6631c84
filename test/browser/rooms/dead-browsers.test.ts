/** Kills and freezes whole browsers in calls and rooms at a real node, and leaves alone those that only say nothing. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '../../../scripts/api/client';
import { useStores } from '../../stores';
import { describeWithBrowser, startBrowserApp, type BrowserApp, type BrowserPhone } from '../pages/browser';
import { startRealPool, type RealPool } from '../pool/real-pool';
import { isIn, startRoomApp, say, waitUntilEmpty, type Guest, type RoomApp } from '../pool/room-pool';

const DOMAIN = 'dead.test';
/** A dead one is gone by then; what a busy machine takes longer is added. */
const GONE_MS = 20_000;
const SLOW_MS = 10_000;
/** Well past the time in which a dead one is given up. */
const LIVES_MS = 22_000;

interface Call {
  id: string;
  state: string;
  outcome: string | null;
  hangupCause: string | null;
  talkSeconds: number | null;
}

describeWithBrowser('browsers that die', (freeswitch, chromium) => {
  const passwords = new Map<string, string>();
  let pool: RealPool;
  /** Lives through all of it. */
  let app: BrowserApp;
  let rooms: RoomApp;
  const open: { close(): Promise<unknown> }[] = [];

  afterAll(async () => {
    await app?.close();
    await pool?.stop();
  }, 30_000);

  const stores = useStores();

  beforeAll(async () => {
    [pool, app] = await Promise.all([startRealPool(freeswitch, stores, 1), startBrowserApp(chromium)]);
    await pool.api.post('/v1/domains', { name: DOMAIN, displayName: 'Dead' });
    for (const username of ['alice', 'bob']) {
      const password = randomBytes(12).toString('base64url');
      passwords.set(username, password);
      await pool.api.post('/v1/users', { domain: DOMAIN, username, password, displayName: username });
    }
    rooms = await startRoomApp(pool, app, DOMAIN, { name: 'dead', musicWhileAlone: false });
  }, 90_000);

  afterEach(async () => {
    await Promise.all(open.splice(0).map((thing) => thing.close().catch(() => undefined)));
    await waitUntilEmpty(pool, stores);
  }, 60_000);

  /** A browser of its own, so that it can be killed by itself. */
  async function openMortal(): Promise<BrowserApp> {
    const mortal = await startBrowserApp(chromium);
    open.push({
      close: () => {
        try {
          mortal.signal('SIGKILL');
        } catch {
          // it is dead
        }
        return mortal.close();
      },
    });
    return mortal;
  }

  async function openPhone(at: BrowserApp, username: string, more = {}): Promise<BrowserPhone> {
    const { wsUrl } = pool.nodes[0]!;
    const password = passwords.get(username)!;
    const phone = await at.openPhone({ wsUrl, username, domain: DOMAIN, password, ...more });
    if (at === app) open.unshift(phone);
    expect(phone.registration).toBe('registered');
    return phone;
  }

  const readCall = async (): Promise<Call> =>
    (await pool.api.get<{ items: Call[] }>(`/v1/calls?domain=${DOMAIN}&limit=1`)).items[0]!;
  const callIs = (state: string, timeoutMs = 15_000): Promise<Call> =>
    waitFor(`the call to be ${state}`, readCall, (call) => call?.state === state, timeoutMs);

  async function endsSoon(): Promise<Call> {
    const fromMs = Date.now();
    const call = await callIs('ended', GONE_MS + SLOW_MS);
    say(`ended ${Date.now() - fromMs} ms after the browser died: ${call.outcome}, ${call.hangupCause}`);
    expect(Date.now() - fromMs).toBeLessThan(GONE_MS + SLOW_MS);
    return call;
  }

  async function talk(caller: BrowserPhone): Promise<void> {
    await caller.call('bob');
    await callIs('answered');
  }

  test.each(['caller', 'callee'] as const)(
    'a call between two ends soon after the browser of the %s is killed',
    async (who) => {
      const mortal = await openMortal();
      const [alice] = await Promise.all([
        openPhone(who === 'caller' ? mortal : app, 'alice', { video: true }),
        openPhone(who === 'callee' ? mortal : app, 'bob', { video: true }),
      ]);
      await talk(alice);
      await sleep(3000);
      mortal.signal('SIGKILL');
      const call = await endsSoon();
      expect(call).toMatchObject({ outcome: 'connection_lost' });
      expect(call.talkSeconds).toBeGreaterThan(10);
      const events = await pool.api.get<{ items: { type: string; data: { outcome?: string } }[] }>(
        `/v1/events?format=json&limit=1000&domain=${DOMAIN}&callId=${call.id}`,
      );
      expect(events.items.find(({ type }) => type === 'call.ended')?.data.outcome).toBe('connection_lost');
    },
  );

  test('a browser that is frozen, and closes nothing, is given up as well', async () => {
    const mortal = await openMortal();
    const alice = await openPhone(mortal, 'alice');
    await openPhone(app, 'bob');
    await talk(alice);
    await sleep(2000);
    mortal.signal('SIGSTOP');
    expect(await endsSoon()).toMatchObject({ outcome: 'connection_lost' });
  });

  test('a browser is killed while it holds the call', async () => {
    const mortal = await openMortal();
    const alice = await openPhone(mortal, 'alice');
    await openPhone(app, 'bob');
    await talk(alice);
    await alice.hold();
    await sleep(2000);
    mortal.signal('SIGKILL');
    expect(await endsSoon()).toMatchObject({ outcome: 'connection_lost' });
  });

  test('a browser that only listens is killed', async () => {
    const mortal = await openMortal();
    const alice = await openPhone(mortal, 'alice', { listens: true });
    await openPhone(app, 'bob');
    await talk(alice);
    await sleep(2000);
    mortal.signal('SIGKILL');
    expect(await endsSoon()).toMatchObject({ outcome: 'connection_lost' });
  });

  test('browsers that hold, are held, and send nothing at all stay', async () => {
    const alice = await openPhone(app, 'alice', { video: true });
    const bob = await openPhone(app, 'bob', { video: true });
    await talk(alice);
    await alice.hold();
    await sleep(LIVES_MS);
    expect((await readCall()).state).toBe('answered');
    await bob.hold();
    await sleep(LIVES_MS);
    expect((await readCall()).state).toBe('answered');
    await Promise.all([alice.unhold(), bob.unhold()]);
    await sleep(2000);
    await Promise.all([alice.sendNothing(), bob.sendNothing()]);
    await sleep(LIVES_MS);
    expect((await readCall()).state).toBe('answered');
    await alice.hangup();
    expect(await callIs('ended')).toMatchObject({ outcome: 'answered' });
  }, 240_000);

  const openGuest = async (at: BrowserApp, name: string): Promise<Guest> => {
    const guest = await rooms.over(at).openGuest(name, { paint: 'red' });
    await guest.enter();
    return guest;
  };

  test('in a room the tile of a killed browser is gone, and the last one takes the room with it', async () => {
    const [mortal, other] = [await openMortal(), await openMortal()];
    const ada = await openGuest(mortal, 'ada');
    const ben = await openGuest(other, 'ben');
    const { roomState } = await rooms.see('both in', (p) => isIn(p, 2));
    const idOf = (guest: Guest) => roomState.items.find((p) => p.identity === guest.grant.identity)!.id;
    for (const [browser, guest] of [
      [mortal, ada],
      [other, ben],
    ] as const) {
      const id = idOf(guest);
      const fromMs = Date.now();
      browser.signal('SIGKILL');
      const read = () =>
        pool.api.get<{ state: string; leaveReason: string | null }>(`/v1/rooms/${rooms.roomId}/participants/${id}`);
      const gone = await waitFor(`${guest.name} to be gone`, read, (p) => p.state === 'left', GONE_MS + SLOW_MS);
      say(`${guest.name} was gone after ${Date.now() - fromMs} ms: ${gone.leaveReason}`);
      expect(gone.leaveReason).toBe('connection_lost');
    }
    const readEnds = () => rooms.events('session.ended');
    const ended = await waitFor('the session to end', readEnds, (events) => events.length > 0, SLOW_MS);
    expect(ended.at(-1)?.data.reason).toBe('empty');
    const left = (await rooms.events('participant.left')).slice(-2).map((event) => event.data.reason);
    expect(left).toEqual(['connection_lost', 'connection_lost']);
  });

  test('guests who are muted, and send nothing, stay in the room', async () => {
    const [ada, ben] = [await openGuest(app, 'ada'), await openGuest(app, 'ben')];
    open.push(ada, ben);
    await rooms.see('both in', (p) => isIn(p, 2));
    await ada.mute();
    await ben.sendNothing();
    await sleep(LIVES_MS);
    expect(isIn(await rooms.look(), 2)).toBe(true);
    await Promise.all([ada.leave(), ben.leave()]);
  });
});
