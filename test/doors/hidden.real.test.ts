/** Who hides their number calls with their own password all the same, and is shown to nobody; the record knows them. */
import { describeWithRealNode } from '../real-node';
import { useStores } from '../stores';
import { until } from '../until';
import { headerOf } from '../../scripts/sip-phone/message';
import { BETA, startHostileApp, type Call, type HostileApp } from './hostile-app';
import type { RawRequest, RawSip } from './raw-sip';

const NOBODY = 'sip:anonymous@anonymous.invalid';
const SELF = `sip:1002@${BETA}`;

describeWithRealNode('a hidden number at a real node', (freeswitch) => {
  const stores = useStores();
  let app: HostileApp;
  let callee: RawSip;
  let caller: RawSip;
  beforeAll(async () => {
    app = await startHostileApp(freeswitch, stores);
    [callee, caller] = app.victims;
    await stores.db('users').where({ username: '1002' }).update({ display_name: 'Greta', caller_number: '+494077' });
  }, 300_000);
  afterAll(() => app?.close());

  const lastInvite = () => callee.got.filter(({ start }) => start.startsWith('INVITE')).at(-1)!;
  const lastCall = async () =>
    (await app.pool.api.get<{ items: (Call & { from: string; to: string })[] }>('/v1/calls?limit=1')).items[0]!;

  test.each([
    ['From is nobody', { from: NOBODY }],
    ['From is nobody, with Privacy: id', { from: NOBODY, headers: ['Privacy: id'] }],
    [
      'with P-Preferred-Identity, as JsSIP',
      { from: NOBODY, headers: ['Privacy: id', `P-Preferred-Identity: <${SELF}>`] },
    ],
    ['From is itself, with Privacy: id', { from: SELF, headers: ['Privacy: id'] }],
    ['From is itself, with Privacy: user;header', { from: SELF, headers: ['Privacy: user;header'] }],
    ['From is anonymous in its own domain', { from: `sip:anonymous@${BETA}` }],
    ['Remote-Party-ID says so', { from: SELF, headers: [`Remote-Party-ID: <${SELF}>;party=calling;privacy=full`] }],
  ] as [string, Partial<RawRequest>][])('goes on, and the callee sees no name and no number: %s', async (_how, o) => {
    const said = await app.call(caller, '1002', BETA, '1001', o);
    expect(said.status).toBe(200);
    const invite = lastInvite();
    expect(headerOf(invite, 'from')).toMatch(/^"Anonymous" <sip:anonymous@/);
    const text = JSON.stringify([invite.start, invite.headers]);
    for (const secret of ['1002', 'Greta', '494077']) expect(text).not.toContain(secret);
    expect(await lastCall()).toMatchObject({ from: 'user:1002', to: 'user:1001' });
    await app.inDialog(caller, said.dialog!, 'BYE');
    await app.noChannels();
  });

  test.each([
    ['nothing of it is said', { from: SELF }],
    ['Privacy is none', { from: SELF, headers: ['Privacy: none'] }],
  ] as [string, Partial<RawRequest>][])('who does not hide is shown: %s', async (_how, o) => {
    const said = await app.call(caller, '1002', BETA, '1001', o);
    expect(headerOf(lastInvite(), 'from')).toMatch(/^"Greta" <sip:\+494077@/);
    await app.inDialog(caller, said.dialog!, 'BYE');
    await app.noChannels();
  });

  test('in a room they are somebody anonymous, for the people and for the events that guests read', async () => {
    const { id } = await app.pool.api.post<{ id: string }>('/v1/rooms', { domain: BETA, name: 'weekly' });
    const said = await app.call(caller, '1002', BETA, 'weekly', { from: NOBODY, headers: ['Privacy: id'] });
    expect(said.status).toBe(200);
    const inside = await until('they are in', async () => {
      const path = `/v1/rooms/${id}/participants`;
      const { items } = await app.pool.api.get<{ items: { state: string; name: string; identity: string }[] }>(path);
      return items.find(({ state }) => state === 'in');
    });
    const call = await lastCall();
    expect(inside).toMatchObject({ name: 'Anonymous', identity: `anonymous:${call.id}` });
    expect(call).toMatchObject({ from: 'user:1002', to: 'room:weekly' });
    await app.inDialog(caller, said.dialog!, 'BYE');
    await app.noChannels();
    const { items } = await app.pool.api.get<{ items: { type: string; userId: string | null; data: object }[] }>(
      `/v1/events?format=json&limit=1000&domain=${BETA}&roomId=${id}`,
    );
    const ofPeople = items.filter(({ type }) => type.startsWith('participant.'));
    expect(ofPeople.length).toBeGreaterThan(1);
    expect(new Set(ofPeople.map(({ userId }) => userId))).toEqual(new Set([null]));
    expect(JSON.stringify(ofPeople)).not.toMatch(/1002|Greta|494077/);
  });

  test.each([
    ['a wrong password', { from: NOBODY, login: { username: '1002', password: 'not this one' } }],
    [
      "another user's name with the own password",
      { from: NOBODY, login: { username: '1001', password: 'not this one' } },
    ],
    ['no login at all', { from: NOBODY, login: undefined }],
  ] as [string, Partial<RawRequest>][])('hiding opens nothing: %s', async (_how, o) => {
    const said = await app.call(await app.socket(), '1002', BETA, '1001', { ...o, headers: ['Privacy: id'] });
    expect([403, 407]).toContain(said.status);
    await app.noChannels();
  });

  test('nobody registers hidden', async () => {
    const phone = await app.socket();
    for (const from of [NOBODY, `sip:anonymous@${BETA}`]) {
      expect((await app.register(phone, '1002', BETA, { from, headers: ['Privacy: id', 'Expires: 300'] })).status).toBe(
        403,
      );
    }
  });

  test.each([
    ['tel: in request and To', { uri: 'tel:1001', to: 'tel:1001' }, 200],
    ['tel: in the request', { uri: 'tel:1001' }, 200],
    ['To in another tenant', { to: 'sip:1001@alpha.test' }, 403],
    ['To at the address of the node', { to: 'sip:1001@127.0.0.1' }, 403],
  ] as [string, Partial<RawRequest>, number][])(
    'the domain that To names is the one to log in at: %s',
    async (_how, o, status) => {
      const said = await app.call(caller, '1002', BETA, '1001', o);
      expect(said.status).toBe(status);
      if (said.dialog) await app.inDialog(caller, said.dialog, 'BYE');
      await app.noChannels();
    },
  );
});
