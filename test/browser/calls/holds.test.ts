/** Two browsers with video hold and unhold each other, call after call, at a real node: none of it may stop the node's legs. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '../../../scripts/api/client';
import { useStores } from '../../stores';
import { describeWithBrowser, startBrowserApp, type BrowserApp, type BrowserPhone } from '../pages/browser';
import { startRealPool, type RealPool } from '../pool/real-pool';
import { waitUntilEmpty } from '../pool/room-pool';

const DOMAIN = 'holds.test';
/** Where node and browser both looked for the way, one of about eight calls stopped for good. */
const CALLS = 8;
const STEP_MS = 15_000;

describeWithBrowser('browsers that hold each other', (freeswitch, chromium) => {
  let pool: RealPool;
  let app: BrowserApp;
  afterAll(async () => {
    await app?.close();
    await pool?.stop();
  }, 30_000);
  const stores = useStores();

  beforeAll(async () => {
    [pool, app] = await Promise.all([startRealPool(freeswitch, stores, 1), startBrowserApp(chromium)]);
    await pool.api.post('/v1/domains', { name: DOMAIN, displayName: 'Holds' });
  }, 90_000);

  async function openPhone(username: string): Promise<BrowserPhone> {
    const password = randomBytes(12).toString('base64url');
    await pool.api.post('/v1/users', { domain: DOMAIN, username, password, displayName: username });
    const phone = await app.openPhone({
      wsUrl: pool.nodes[0]!.wsUrl,
      username,
      domain: DOMAIN,
      password,
      video: true,
    });
    expect(phone.registration).toBe('registered');
    return phone;
  }

  const callIs = (state: string) =>
    waitFor(
      `the call to be ${state}`,
      async () =>
        (await pool.api.get<{ items: { state: string }[] }>(`/v1/calls?domain=${DOMAIN}&limit=1`)).items[0]?.state,
      (now) => now === state,
      STEP_MS,
    );

  /** Sound and videos come in at both, more and more of it. */
  async function bothReceive(phones: readonly BrowserPhone[]): Promise<void> {
    for (const phone of phones) {
      const before = await phone.received();
      await waitFor(
        'sound and videos',
        () => phone.received(),
        (now) => now.audioPackets > before.audioPackets + 10 && now.framesDecoded > before.framesDecoded + 3,
        STEP_MS,
      );
    }
  }

  test('the callee holds, the caller holds, both come back at once, and the call goes on and can be hung up', async () => {
    const [alice, bob] = [await openPhone('alice'), await openPhone('bob')];
    for (let call = 0; call < CALLS; call += 1) {
      await alice.call('bob');
      await callIs('answered');
      await bothReceive([alice, bob]);
      await bob.hold();
      await sleep(500);
      await alice.hold();
      await sleep(500);
      await Promise.all([alice.unhold(), bob.unhold()]);
      await bothReceive([alice, bob]);
      const { 1: uuid } = (await pool.command(pool.nodes[0]!, 'show channels')).split('\n').map((l) => l.split(',')[0]);
      // Only where the node looks for no way itself is there nothing that can stop its legs (freeswitch/freeswitch.xml).
      expect(await pool.command(pool.nodes[0]!, `uuid_getvar ${uuid} rtp_local_sdp_str`)).toContain('a=ice-lite');
      await alice.hangup();
      await callIs('ended');
    }
    await Promise.all([alice.close(), bob.close()]);
    await waitUntilEmpty(pool, stores);
  }, 300_000);
});
