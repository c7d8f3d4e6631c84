/** What a hostile phone says to a real node by every SIP method, and what comes of it: nothing. Honest phones go on. */
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeWithRealNode } from '../real-node';
import { useStores } from '../stores';
import { until } from '../until';
import { ALPHA, BETA, startHostileApp, type Call, type HostileApp } from './hostile-app';
import { sdpOf, type Dialog, type RawRequest } from './raw-sip';

describeWithRealNode('a hostile phone at a real node, by every SIP method', (freeswitch) => {
  const stores = useStores();
  let app: HostileApp;
  beforeAll(async () => {
    app = await startHostileApp(freeswitch, stores);
  }, 300_000);
  afterAll(() => app?.close());

  test('an honest phone registers, calls, holds, goes on, asks whether the node lives, and hangs up', async () => {
    const phone = await app.socket();
    const callId = 'ann@raw';
    expect((await app.register(phone, 'ann', ALPHA, { callId })).status).toBe(200);
    expect((await app.say(phone, 'ann', ALPHA, { method: 'OPTIONS' })).status).toBe(200);
    const { status, dialog } = await app.call(phone, 'ann', ALPHA, '9196');
    expect(status).toBe(200);
    const held = sdpOf(phone.address).replace('a=rtpmap:0', 'a=sendonly\r\na=rtpmap:0');
    for (const body of [held, sdpOf(phone.address)]) {
      const again = await app.inDialog(phone, dialog!, 'INVITE', {
        body,
        bodyType: 'application/sdp',
        login: app.loginOf('ann'),
      });
      expect(again.status).toBe(200);
    }
    expect((await app.inDialog(phone, dialog!, 'BYE')).status).toBe(200);
    await app.noChannels();
    expect((await app.register(phone, 'ann', ALPHA, { callId, headers: ['Expires: 0'] })).status).toBe(200);
    await until('it is gone', async () => (await app.registrationsOf('ann')).length === 0);
  });

  test.each([
    ['REFER', 405, ['Refer-To: <sip:x@127.0.0.9>']],
    ['SUBSCRIBE', 405, ['Event: presence', 'Expires: 60']],
    ['SUBSCRIBE', 405, ['Event: dialog', 'Expires: 60']],
    ['SUBSCRIBE', 405, ['Event: as-feature-event', 'Expires: 60']],
    ['PUBLISH', 405, ['Event: presence', 'Expires: 60']],
    ['UPDATE', 481, []],
    ['BYE', 481, []],
    ['FOO', 501, []],
  ])('%s without a call is refused (%i)', async (method, status, headers) => {
    const to = `sip:1001@${BETA}`;
    expect((await app.say(app.mallory, 'mallory', ALPHA, { method, uri: to, to, headers })).status).toBe(status);
    expect(await app.countChannels()).toBe(0);
  });

  test('a MESSAGE reaches nobody and runs nothing, whoever it is for', async () => {
    const file = join(tmpdir(), `switchyard-door-${randomBytes(6).toString('hex')}`);
    const users = [
      `api+system%20touch%20${encodeURIComponent(file)}`,
      'api+status',
      'event+x',
      'conf+daily',
      'sip+1001',
    ];
    const targets = [
      ...users.map((user) => `${user}@${ALPHA}`),
      `ann@${ALPHA}`,
      `1001@${BETA}`,
      `1001+${BETA}@${ALPHA}`,
    ];
    for (const target of targets) {
      const to = `sip:${target}`;
      const said = await app.say(app.mallory, 'mallory', ALPHA, {
        method: 'MESSAGE',
        uri: `sip:x@${ALPHA}`,
        to,
        from: `sip:boss@${BETA}`,
        body: 'hello',
        bodyType: 'text/plain',
      });
      expect([target, said.status]).toEqual([target, 202]);
    }
    // Answered in turn: what a MESSAGE did was done before this.
    expect((await app.say(app.mallory, 'mallory', ALPHA, { method: 'OPTIONS' })).status).toBe(200);
    expect(existsSync(file)).toBe(false);
    expect(app.victims[0]!.countOf('MESSAGE') + app.mallory.countOf('MESSAGE')).toBe(0);
  });

  test('in a call of its own it can refer nobody, subscribe to nothing, run nothing and record nothing', async () => {
    const marks = Array.from({ length: 4 }, () => join(tmpdir(), `switchyard-door-${randomBytes(6).toString('hex')}`));
    const login = app.loginOf('mallory');
    const { dialog } = await app.call(app.mallory, 'mallory', ALPHA, '9196');
    const away = `sip:+19005551234@127.0.0.9:${app.sink.port}`;
    const replaces = '?Replaces=nobody%3Bto-tag%3Da%3Bfrom-tag%3Db';
    const referTo = [
      `<${away}>`,
      `<${away}${replaces}>`,
      `<${away};a=b,origination_caller_id_number=911${replaces}>`,
      `<${away};a=b,execute_on_originate=system:touch$IFS${marks[0]},z=1${replaces}>`,
      `<sip:1001@${BETA}>`,
    ];
    for (const target of referTo) {
      const said = await app.inDialog(app.mallory, dialog!, 'REFER', { login, headers: [`Refer-To: ${target}`] });
      expect([target, said.status]).toEqual([target, 405]);
    }
    const info = async (o: Partial<RawRequest>): Promise<number> =>
      (await app.inDialog(app.mallory, dialog!, 'INFO', { login, ...o })).status;
    expect(await info({ body: `system:touch ${marks[1]}`, bodyType: 'freeswitch/api-request' })).toBe(200);
    expect(await info({ body: `touch ${marks[2]}`, bodyType: 'freeswitch/session-event' })).toBe(200);
    expect(await info({ headers: ['Record: on'] })).toBe(488);
    expect((await app.inDialog(app.mallory, dialog!, 'SUBSCRIBE', { login, headers: ['Event: dialog'] })).status).toBe(
      405,
    );
    expect(
      (
        await app.inDialog(app.mallory, dialog!, 'MESSAGE', {
          login,
          body: `api+system touch ${marks[3]}`,
          bodyType: 'text/plain',
        })
      ).status,
    ).toBe(202);
    expect((await app.inDialog(app.mallory, dialog!, 'BYE')).status).toBe(200);
    await app.noChannels();
    expect(marks.map((file) => existsSync(file))).toEqual([false, false, false, false]);
    expect(readdirSync(app.node.process.logFile.replace(/log\/[^/]*$/, 'recordings'))).toEqual([]);
    expect(app.sink.got).toEqual([]);
  });

  test('a NOTIFY "talk" sends its own call to no number', async () => {
    const { dialog } = await app.call(app.mallory, 'mallory', ALPHA, '9196');
    const headers = ['Event: talk', 'Subscription-State: active'];
    await app.inDialog(app.mallory, dialog!, 'NOTIFY', { login: app.loginOf('mallory'), headers });
    await app.noChannels();
  });

  describe('an INVITE that names a call of another tenant', () => {
    let talk: { id: string; dialog: Dialog };
    let legs: { id: string; sip_call_id: string }[];
    beforeAll(async () => {
      talk = await app.connectVictims();
      const text = await app.ask('show channels as json');
      const rows = (JSON.parse(text) as { rows: { uuid: string }[] }).rows;
      const all = await Promise.all(
        rows.map(async ({ uuid }) => {
          const callId = await app.ask(`uuid_getvar ${uuid} sip_call_id`);
          return { id: uuid, sip_call_id: callId.trim() };
        }),
      );
      legs = all.filter((leg) => leg.sip_call_id.includes('-') || leg.sip_call_id.endsWith('@raw'));
      expect(legs).toHaveLength(2);
    });
    afterAll(async () => {
      await app.inDialog(app.victims[1]!, talk.dialog, 'BYE');
      await app.noChannels();
    });

    test('ends as soon as it is answered, whatever it names, and the two talk on', async () => {
      const before = (await app.poolEvents('channel.unadmitted')).length;
      const names = legs.flatMap((leg) => [leg.id, leg.sip_call_id]);
      const tries = names.flatMap((name) => [
        [`Replaces: ${name};to-tag=a;from-tag=b`],
        [`Replaces: ${name};to-tag=a;from-tag=b;a-leg=true`],
        [`Replaces: ${name};to-tag=a;from-tag=b`, `Call-Info: <sip:${BETA}>;appearance-index=1`],
        [`Replaces: ${name};to-tag=a;from-tag=b`, 'X-FS-Refer-For: x', 'X-FS-Refer-From: y'],
      ]);
      for (const headers of tries) {
        const thief = await app.socket();
        const said = await app.call(thief, 'mallory', ALPHA, '9196', { headers });
        // FreeSWITCH answers and hangs up in one breath.
        if (said.status === 200) await until('the thief is hung up on', () => thief.countOf('BYE') > 0);
        await until('its channel is gone', async () => (await app.countChannels()) === 2);
      }
      expect((await app.pool.api.get<Call>(`/v1/calls/${talk.id}`)).state).toBe('answered');
      expect(app.victims.map((victim) => victim.countOf('BYE'))).toEqual([0, 0]);
      await until('it was said', async () => (await app.poolEvents('channel.unadmitted')).length > before);
      expect((await app.poolEvents('channel.unadmitted')).at(-1)!.data).toMatchObject({
        username: 'mallory',
        domain: ALPHA,
      });
    });

    test('the ids of its legs, which such an INVITE needs, are nowhere in the API', async () => {
      const shown = [
        await app.pool.api.get<object>(`/v1/calls/${talk.id}`),
        await app.pool.api.get<object>(`/v1/calls/${talk.id}/placement`),
        await app.pool.api.get<object>(`/v1/events?format=json&limit=1000&domain=${BETA}`),
        await app.pool.api.get<object>('/v1/events?format=json&limit=1000'),
      ];
      const text = JSON.stringify(shown);
      for (const leg of legs)
        expect([leg, text.includes(leg.id), text.includes(leg.sip_call_id)]).toEqual([leg, false, false]);
    });
  });

  test('an appearance-index alone, or a channel name of its own, makes nothing else of a call', async () => {
    for (const headers of [
      [`Call-Info: <sip:${ALPHA}>;appearance-index=1`],
      ['X-FS-Channel-Name: sofia/internode/x', 'X-FS-Support: update_display'],
      ['X-Switchyard-Call: 1', 'X-Switchyard-Leg: transit', 'X-Switchyard-Token: t'],
    ]) {
      const { status, dialog } = await app.call(app.mallory, 'mallory', ALPHA, '9196', { headers });
      expect(status).toBe(200);
      const { items } = await app.pool.api.get<{ items: Call[] }>('/v1/calls?limit=1');
      const shown = await until('it is answered', async () => {
        const one = await app.pool.api.get<Call>(`/v1/calls/${items[0]!.id}`);
        return one.state === 'answered' ? one : undefined;
      });
      expect(shown.legs.map((leg) => leg.role)).toEqual(['from']);
      await app.inDialog(app.mallory, dialog!, 'BYE');
      await app.noChannels();
    }
  });

  test('a phone does not rename itself to its partner, neither in an answer nor in the middle of a call', async () => {
    const rename = [
      'P-Asserted-Identity: "Dr. House" <sip:911@x>',
      'X-FS-Display-Name: Dr. House',
      'X-FS-Display-Number: 911',
    ];
    app.victims[0]!.onInvite = () => ({ status: '200 OK', headers: rename });
    const talk = await app.connectVictims();
    const text = await app.ask('show channels as json');
    expect(text).not.toContain('House');
    expect(JSON.stringify(app.victims[1]!.got.map((message) => [message.start, message.headers]))).not.toContain(
      'House',
    );
    app.victims[0]!.onInvite = () => ({ status: '200 OK' });
    await app.inDialog(app.victims[1]!, talk.dialog, 'BYE');
    await app.noChannels();
  });

  test('the door between nodes lets in no stranger, and no phone of the same host by any method', async () => {
    const stranger = await app.socket(undefined, app.node.internodePort);
    const seen: Record<string, number> = {};
    for (const method of ['REGISTER', 'INVITE', 'MESSAGE', 'REFER', 'SUBSCRIBE', 'PUBLISH']) {
      const headers = ['Event: presence', 'Expires: 60', `Refer-To: <sip:x@127.0.0.9:${app.sink.port}>`];
      const body = method === 'INVITE' ? { body: sdpOf('127.0.0.1'), bodyType: 'application/sdp' } : {};
      const said = await app.say(stranger, 'mallory', ALPHA, { method, uri: `sip:1001@${BETA}`, headers, ...body });
      seen[method] = said.status;
    }
    expect(seen).toEqual({ REGISTER: 405, INVITE: 403, MESSAGE: 202, REFER: 405, SUBSCRIBE: 405, PUBLISH: 405 });
    await app.noChannels();
    expect(app.sink.got).toEqual([]);
  });
});
