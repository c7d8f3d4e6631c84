/** Who a hostile phone says it is, and where it says it can be reached: a real node believes none of it. */
import { randomBytes } from 'node:crypto';
import { describeWithRealNode } from '../real-node';
import { useStores } from '../stores';
import { until } from '../until';
import { ALPHA, BETA, startHostileApp, type Call, type HostileApp } from './hostile-app';
import type { RawRequest } from './raw-sip';

describeWithRealNode('a hostile phone that lies about who and where it is', (freeswitch) => {
  const stores = useStores();
  let app: HostileApp;
  beforeAll(async () => {
    app = await startHostileApp(freeswitch, stores);
  }, 300_000);
  afterAll(() => app?.close());

  describe('REGISTER', () => {
    const M = `sip:mallory@${ALPHA}`;
    test.each([
      ['From is another user of another tenant', { from: `sip:1001@${BETA}`, to: M }, ALPHA],
      ['To is another user', { from: M, to: `sip:ann@${ALPHA}` }, ALPHA],
      ['To is the same name in another tenant', { from: M, to: `sip:mallory@${BETA}` }, ALPHA],
      ['From is the same name in another tenant', { from: `sip:mallory@${BETA}`, to: M }, ALPHA],
      ['From and To are another user', { from: `sip:ann@${ALPHA}`, to: `sip:ann@${ALPHA}` }, ALPHA],
      ['From and To are of another tenant', { from: `sip:1001@${BETA}`, to: `sip:1001@${BETA}` }, ALPHA],
      [
        'From and To are in another tenant by host alone',
        { from: `sip:mallory@${BETA}`, to: `sip:mallory@${BETA}` },
        ALPHA,
      ],
      ['To has no user', { from: M, to: `sip:${ALPHA}` }, ALPHA],
      ['From has no user', { from: `sip:${ALPHA}`, to: M }, ALPHA],
      ['the request is for another tenant', { from: M, to: `sip:1001@${BETA}`, uri: `sip:${BETA}` }, ALPHA],
    ] as [string, Partial<RawRequest>, string][])('is refused where %s', async (_why, o, realm) => {
      const contact = `sip:evil@127.0.0.1:${app.mallory.port}`;
      const said = await app.register(app.mallory, 'mallory', ALPHA, {
        ...o,
        contact,
        login: { ...app.loginOf('mallory'), realm },
      });
      expect(said.status).toBe(403);
      const all = await Promise.all(['1001', 'ann', 'mallory'].map(app.registrationsOf));
      expect(JSON.stringify(all)).not.toContain('evil');
      const text = await app.ask('show registrations as json');
      expect(text).not.toContain('evil');
    });

    test('"Contact: *" in the name of another ends nothing of theirs', async () => {
      const before = await app.registrationsOf('1001');
      const to = `sip:1001@${BETA}`;
      for (const names of [{ to }, { from: to }, { from: to, to }]) {
        const said = await app.register(app.mallory, 'mallory', ALPHA, {
          ...names,
          contact: '*',
          headers: ['Expires: 0'],
          login: { ...app.loginOf('mallory'), realm: ALPHA },
        });
        expect(said.status).toBe(403);
      }
      expect(await app.registrationsOf('1001')).toEqual(before);
    });

    test('a guest of a room registers nothing, neither as itself nor as another, and still comes in', async () => {
      const own = `sip:${app.guest.username}@${ALPHA}`;
      for (const names of [
        { from: own, to: own },
        { from: `sip:1002@${BETA}`, to: own },
        { from: own, to: `sip:ann@${ALPHA}` },
      ]) {
        const said = await app.register(app.mallory, app.guest.username, ALPHA, {
          ...names,
          login: { ...app.guest, realm: ALPHA },
        });
        expect(said.status).toBe(403);
      }
      const said = await app.call(app.mallory, app.guest.username, ALPHA, 'daily', { login: app.guest });
      expect(said.status).toBe(200);
      await app.inDialog(app.mallory, said.dialog!, 'BYE');
      await app.noChannels();
    });
  });

  describe('a contact that leads elsewhere', () => {
    const away = (): string => `127.0.0.9:${app.sink.port}`;
    const contacts: [string, (port: number) => string][] = [
      ['by its host', () => `sip:+19005551234@${away()}`],
      ['by fs_path', (port) => `sip:x@127.0.0.1:${port};fs_path=sip:y@${away()}`],
      ['by an encoded fs_path', (port) => `sip:x@127.0.0.1:${port};fs_path=sip%3Ay%40${away().replace(':', '%3A')}`],
      ['by maddr', (port) => `sip:x@127.0.0.1:${port};maddr=127.0.0.9`],
      ['by received', (port) => `sip:x@127.0.0.1:${port};received=${away()}`],
      ['by a Route in its headers', (port) => `sip:x@127.0.0.1:${port}?Route=%3Csip%3A${away()}%3Blr%3E`],
    ];
    test.each(contacts)('%s is rung where the REGISTER came from, or not at all', async (_how, contact) => {
      const phone = await app.socket();
      phone.onInvite = () => ({ status: '486 Busy Here' });
      const callId = `${randomBytes(6).toString('hex')}@raw`;
      const headers = ['Expires: 300', ...(_how === 'by its host' ? [`Path: <sip:${away()};lr>`] : [])];
      const said = await app.register(phone, 'ann', ALPHA, { contact: contact(phone.port), callId, headers });
      expect(said.status).toBe(200);
      await until('it is registered', async () => (await app.registrationsOf('ann')).length === 1);
      const { id } = await app.pool.api.post<Call>('/v1/calls', { domain: ALPHA, from: 'user:ann', to: '9196' });
      const over = await until('the call is over', async () => {
        const one = await app.pool.api.get<Call>(`/v1/calls/${id}`);
        return one.state === 'ended' ? one : undefined;
      });
      expect(app.sink.got).toEqual([]);
      expect(['busy', 'unreachable']).toContain(over.outcome);
      await app.register(phone, 'ann', ALPHA, { contact: contact(phone.port), callId, headers: ['Expires: 0'] });
      await stores.db('registrations').where('sip_call_id', callId).delete();
    });
  });

  test.each([
    ['another host', () => `<sip:+19005551234@127.0.0.9:${app.sink.port}>`],
    ["the node's own host, for another number", () => `<sip:9196@127.0.0.1:${app.node.sipPort}>`],
    ['another host with parameters', () => `<sip:x@127.0.0.9:${app.sink.port};a=b,origination_caller_id_number=911>`],
  ])('a phone that answers 302 to %s leads nobody there', async (_where, target) => {
    app.victims[0]!.onInvite = () => ({ status: '302 Moved Temporarily', headers: [`Contact: ${target()}`] });
    for (const from of ['api', 'phone'] as const) {
      if (from === 'api') {
        const { id } = await app.pool.api.post<Call>('/v1/calls', { domain: BETA, from: 'user:1001', to: '9196' });
        await until(
          'the call is over',
          async () => (await app.pool.api.get<Call>(`/v1/calls/${id}`)).state === 'ended',
        );
      } else {
        expect((await app.call(app.victims[1]!, '1002', BETA, '1001')).status).toBeGreaterThanOrEqual(400);
      }
      await app.noChannels();
    }
    app.victims[0]!.onInvite = () => ({ status: '200 OK' });
    expect(app.sink.got).toEqual([]);
  });
});
