/** Grants that end and users who are deleted during meetings, as two Chromium pages at two real nodes see it. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '../../../scripts/api/client';
import { useStores } from '../../stores';
import { describeWithBrowser, startBrowserApp, type BrowserApp } from '../pages/browser';
import { startRealPool, type RealPool } from '../pool/real-pool';
import { isIn, startRoomApp, say, waitUntilEmpty, type RoomApp } from '../pool/room-pool';

const DOMAIN = 'out.test';
/** A second; what a busy machine takes longer is added. */
const SOON_MS = 5000;

describeWithBrowser('people who are put out, and people who come back', (freeswitch, chromium) => {
  let pool: RealPool;
  let app: BrowserApp;
  let rooms: RoomApp;
  const open: { close(): Promise<unknown> }[] = [];
  afterAll(async () => {
    await app?.close();
    await pool?.stop();
  }, 30_000);
  const stores = useStores();

  beforeAll(async () => {
    [pool, app] = await Promise.all([startRealPool(freeswitch, stores, 2), startBrowserApp(chromium)]);
    await pool.api.post('/v1/domains', { name: DOMAIN, displayName: 'Out' });
    rooms = await startRoomApp(pool, app, DOMAIN, { name: 'out', musicWhileAlone: false });
  }, 90_000);

  afterEach(async () => {
    await Promise.all(open.splice(0).map((thing) => thing.close().catch(() => undefined)));
    await waitUntilEmpty(pool, stores);
  }, 60_000);

  async function makeUser(username: string): Promise<{ id: string; password: string }> {
    const password = randomBytes(12).toString('base64url');
    const user = { domain: DOMAIN, username, password, displayName: username };
    const { id } = await pool.api.post<{ id: string }>('/v1/users', user);
    return { id, password };
  }
  const send = async (method: string, path: string, body?: object): Promise<number> =>
    (
      await fetch(`${pool.url}${path}`, {
        method,
        headers: { authorization: `Bearer ${pool.apiKey}`, 'content-type': 'application/json' },
        ...(body ? { body: JSON.stringify(body) } : {}),
      })
    ).status;

  test('who is deleted is out of the call, and whoever is disabled out of the room, within a second', async () => {
    const [ann, ben] = [await makeUser('ann'), await makeUser('ben')];
    const openPhone = async (username: string, password: string, at: number) => {
      const { wsUrl } = pool.nodes[at]!;
      const phone = await app.openPhone({ wsUrl, username, domain: DOMAIN, password });
      open.push(phone);
      return phone;
    };
    const [caller, callee] = [await openPhone('ann', ann.password, 0), await openPhone('ben', ben.password, 1)];
    const guest = await rooms.openGuest('ann', { grant: { userId: ann.id } });
    const other = await rooms.openGuest('eve');
    open.push(guest, other);
    await Promise.all([guest.enter(), other.enter(), caller.call('ben')]);
    await rooms.see('both in', (p) => isIn(p, 2));
    const talks = async () => (await callee.sessions()).at(-1)?.state;
    await waitFor('the call to talk', talks, (state) => state === 'talking', 15_000);
    const fromMs = Date.now();
    expect(await send('PATCH', `/v1/users/${ann.id}`, { enabled: false })).toBe(200);
    await rooms.see('only the other in', (p) => isIn(p, 1));
    await waitFor('the call to have ended', talks, (state) => state === 'ended', SOON_MS);
    say(`out of the room and the call after ${Date.now() - fromMs} ms`);
    expect(Date.now() - fromMs).toBeLessThan(SOON_MS);
    const left = (await rooms.events('participant.left')).at(-1)!;
    expect(left.data).toMatchObject({ identity: 'user:ann', reason: 'user_disabled' });
    expect(await send('DELETE', `/v1/users/${ben.id}`)).toBe(204);
    const listed = () => pool.api.get<{ total: { registrations: number } }>('/v1/pool');
    await waitFor('no phone to be registered', listed, ({ total }) => total.registrations === 0, SOON_MS);
  }, 120_000);

  test('who is in when the grant expires comes back by a new leg, and one who never was in does not', async () => {
    const host = await rooms.openGuest('host', { grant: { identity: 'host' } });
    const ada = await rooms.openGuest('ada', { grant: { identity: 'ada' } });
    const late = await rooms.openGuest('late', { grant: { identity: 'late' } });
    open.push(host, ada, late);
    await Promise.all([host.enter(), ada.enter()]);
    const { roomState } = await rooms.see('both in', (p) => isIn(p, 2));
    const before = roomState.items.find((p) => p.identity === 'ada')!;
    await stores
      .db('grants')
      .whereIn('id', [ada.grant.id, late.grant.id])
      .update({ expires_at: new Date(Date.now() - 1) });
    await sleep(1500);
    await ada.enter(); // the page's network changed: another leg, while the old one lives
    const back = await rooms.see('ada again', (p) => isIn(p, 2) && p.items.some((one) => one.identity === 'ada'));
    expect(back.roomState.items.find((p) => p.identity === 'ada')!.id).toBe(before.id);
    await waitFor(
      'ada to be in',
      () => ada.state(),
      ({ state }) => state === 'in',
      15_000,
    );
    await late.enter().catch(() => undefined); // its events are refused as well
    await sleep(3000);
    expect(isIn(await rooms.look(), 2)).toBe(true);
    // A page that was made anew, with another grant for the same person.
    const anew = await rooms.openGuest('ada', { grant: { identity: 'ada' } });
    open.push(anew);
    await anew.enter();
    const same = await rooms.see('the same person', (p) =>
      p.items.some((one) => one.identity === 'ada' && one.state === 'in' && one.grantId === anew.grant.id),
    );
    expect(same.roomState.items.filter((p) => p.identity === 'ada').map((p) => p.id)).toEqual([before.id]);
  }, 120_000);
});
