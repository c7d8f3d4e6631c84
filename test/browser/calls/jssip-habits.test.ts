/** What JsSIP does by itself, at a real node: keys by INFO, a hidden caller, and numbers as people write them. */
import { randomBytes } from 'node:crypto';
import { useStores } from '../../stores';
import { until } from '../../until';
import { describeWithBrowser, startBrowserApp, type BrowserApp, type BrowserPhone } from '../pages/browser';
import { startRealPool, type RealPool } from '../pool/real-pool';

const DOMAIN = 'habits.test';
const PIN = '4711';

describeWithBrowser("JsSIP's own habits at a real node", (freeswitch, chromium) => {
  let pool: RealPool;
  let app: BrowserApp;
  afterAll(async () => {
    await app?.close();
    await pool?.stop();
  }, 30_000);
  const stores = useStores();
  let ann: BrowserPhone;
  let bert: BrowserPhone;
  let roomId: string;

  beforeAll(async () => {
    [pool, app] = await Promise.all([startRealPool(freeswitch, stores, 1), startBrowserApp(chromium)]);
    await pool.api.post('/v1/domains', { name: DOMAIN });
    const open = async (username: string, more: object): Promise<BrowserPhone> => {
      const password = randomBytes(12).toString('base64url');
      await pool.api.post('/v1/users', { domain: DOMAIN, username, password, ...more });
      return app.openPhone({ wsUrl: pool.nodes[0]!.wsUrl, username, domain: DOMAIN, password });
    };
    ann = await open('ann', { displayName: 'Ann', callerNumber: '+49 40 55555' });
    bert = await open('bert', { displayName: 'Bert', callerNumber: '+49 30 12345' });
    const room = { domain: DOMAIN, name: 'secret', pin: PIN, musicWhileAlone: false };
    roomId = (await pool.api.post<{ id: string }>('/v1/rooms', room)).id;
    await until('both are registered', async () => {
      const { items } = await pool.api.get<{ items: { registrations: unknown[] }[] }>(`/v1/users?domain=${DOMAIN}`);
      return items.every(({ registrations }) => registrations.length === 1);
    });
  }, 120_000);

  const isTalking = (phone: BrowserPhone) =>
    until('it talks', async () => (await phone.sessions()).at(-1)?.state === 'talking');
  const hangUp = async (...phones: BrowserPhone[]): Promise<void> => {
    await phones[0]!.hangup();
    for (const phone of phones)
      await until('it is over', async () => ['ended', 'failed'].includes((await phone.sessions()).at(-1)?.state ?? ''));
  };
  const peopleInside = async () => {
    const path = `/v1/rooms/${roomId}/participants`;
    const { items } = await pool.api.get<{ items: { state: string; name: string; identity: string }[] }>(path);
    return items.filter(({ state }) => state === 'in');
  };

  test('lets in who presses the PIN with the keys as JsSIP sends them', async () => {
    await ann.call('secret');
    await isTalking(ann);
    await ann.press(`${PIN}#`);
    await until('she is in', async () => (await peopleInside()).length === 1);
    await hangUp(ann);
  });

  test.each(['+493012345', '+49-30-12345', '%2B493012345'])('reaches Bert by %s', async (dialled) => {
    await ann.call(dialled);
    await isTalking(ann);
    expect((await bert.callers()).at(-1)).toMatch(/"?Ann"? <sip:\+494055555@/);
    await hangUp(ann, bert);
  });

  test('rings Bert for Ann who hides, and shows him nobody', async () => {
    await ann.callHidden('bert');
    await isTalking(ann);
    const shown = (await bert.callers()).at(-1)!;
    expect(shown).toMatch(/^"Anonymous" <sip:anonymous@/);
    const { items } = await pool.api.get<{ items: { from: string; to: string }[] }>('/v1/calls?limit=1');
    expect(items[0]).toMatchObject({ from: 'user:ann', to: 'user:bert' });
    await hangUp(ann, bert);
  });

  test('lets Ann into a room who hides, with the PIN, as somebody anonymous', async () => {
    await ann.callHidden('secret');
    await isTalking(ann);
    await ann.press(`${PIN}#`);
    const [inside] = await until('she is in', async () => {
      const people = await peopleInside();
      return people.length === 1 ? people : undefined;
    });
    expect(inside).toMatchObject({ name: 'Anonymous', identity: expect.stringMatching(/^anonymous:/) });
    await hangUp(ann);
  });
});
