/** Keys that a phone presses by SIP INFO, as JsSIP and many desk phones do, arrive at a real node; all else in an INFO does nothing. */
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeWithRealNode } from '../real-node';
import { useStores } from '../stores';
import { until } from '../until';
import { ALPHA, startHostileApp, type HostileApp } from './hostile-app';
import type { Dialog, RawRequest, RawSip } from './raw-sip';

const PIN = '4711';
const RELAY = 'application/dtmf-relay';
const PLAIN = 'application/dtmf';

describeWithRealNode('keys by SIP INFO at a real node', (freeswitch) => {
  const stores = useStores();
  let app: HostileApp;
  let roomId: string;
  let phone: RawSip;
  beforeAll(async () => {
    app = await startHostileApp(freeswitch, stores);
    const room = { domain: ALPHA, name: 'secret', pin: PIN, musicWhileAlone: false };
    roomId = (await app.pool.api.post<{ id: string }>('/v1/rooms', room)).id;
    phone = await app.socket();
    await app.register(phone, 'ann', ALPHA);
  }, 300_000);
  afterAll(() => app?.close());

  const info = (dialog: Dialog, o: Partial<RawRequest>) => app.inDialog(phone, dialog, 'INFO', o);
  const press = async (dialog: Dialog, bodies: readonly string[], bodyType: string): Promise<void> => {
    for (const body of bodies) expect((await info(dialog, { body, bodyType })).status).toBe(200);
  };
  const callRoom = async (): Promise<Dialog> => {
    const { status, dialog } = await app.call(phone, 'ann', ALPHA, 'secret');
    expect(status).toBe(200);
    return dialog!;
  };
  const peopleInside = async (): Promise<number> => {
    const { items } = await app.pool.api.get<{ items: { state: string }[] }>(`/v1/rooms/${roomId}/participants`);
    return items.filter(({ state }) => state === 'in').length;
  };
  const hangUp = async (dialog: Dialog): Promise<void> => {
    await app.inDialog(phone, dialog, 'BYE');
    await app.noChannels();
  };

  const relayed = (end: string) => (key: string) => `Signal=${key}\r\nDuration=160${end}`;
  test.each([
    ['as JsSIP sends them', RELAY, [...`${PIN}#`].map(relayed('\r\n'))],
    ['with blanks and no line at the end', RELAY, [...`${PIN}#`].map((key) => `Signal= ${key}\nDuration= 250`)],
    ['without a duration', RELAY, [...`${PIN}#`].map((key) => `Signal=${key}`)],
    ['with a duration that is none', RELAY, [...`${PIN}#`].map((key) => `Signal=${key}\r\nDuration=99999999999`)],
    ['as one plain digit each; # is 11 there', PLAIN, [...PIN, '11']],
    ['without # the PIN is over after three seconds', RELAY, [...PIN].map(relayed('\r\n'))],
  ])('a PIN lets in: %s', async (_how, bodyType, bodies) => {
    const dialog = await callRoom();
    await press(dialog, bodies, bodyType);
    await until('they are in the room', async () => (await peopleInside()) === 1);
    await hangUp(dialog);
    await until('the room is empty', async () => (await peopleInside()) === 0);
  });

  test('a wrong PIN by INFO is refused as any other', async () => {
    const dialog = await callRoom();
    for (const pin of ['1', '22', '4712']) {
      await press(dialog, [...`${pin}#`].map(relayed('')), RELAY);
      // The wrong tone, then it is asked again.
      await new Promise((done) => setTimeout(done, 1500));
    }
    await until('it is hung up on', () => phone.countOf('BYE') > 0);
    expect(await peopleInside()).toBe(0);
    await app.noChannels();
  });

  test('what else an INFO may hold runs nothing, records nothing and presses nothing', async () => {
    const file = join(tmpdir(), `switchyard-info-${randomBytes(6).toString('hex')}`);
    const dialog = await callRoom();
    const bodies: [string, string][] = [
      ['freeswitch/api-request', `system:touch ${file}`],
      ['freeswitch/session-event', `Event-Name: COMMAND\r\ncommand: execute\r\nexecute-app-name: hangup\r\n`],
      ['freeswitch/data', file],
      [RELAY, 'Signal=${system(touch x)}\r\nDuration=160'],
      [RELAY, `Signal=\r\nDuration=`],
      [RELAY, 'Duration=160'],
      [RELAY, `Signal=${'9'.repeat(20_000)}`],
      [RELAY, 'Signal=-1\r\nDuration=-5'],
      [RELAY, 'Signal=16'],
      [PLAIN, '99999999999999999999'],
      [PLAIN, '-7'],
      [PLAIN, 'abc'],
      ['application/vnd.nortelnetworks.digits', 'd=\u00ff'],
      ['application/media_control+xml', `<media_control>${'<x>'.repeat(2000)}</media_control>`],
      ['message/update_display', 'From: "Dr. House" <sip:911@x>'],
    ];
    for (const [bodyType, body] of bodies) {
      const headers = bodyType === 'message/update_display' ? ['X-FS-Display-Name: Dr. House'] : [];
      expect([bodyType, (await info(dialog, { body, bodyType, headers })).status]).toEqual([bodyType, 200]);
    }
    expect((await info(dialog, { headers: ['Record: on'] })).status).toBe(488);
    expect(await peopleInside()).toBe(0);
    expect(existsSync(file)).toBe(false);
    expect(readdirSync(app.node.process.logFile.replace(/log\/[^/]*$/, 'recordings'))).toEqual([]);
    expect(await app.ask('show channels as json')).not.toContain('House');
    await hangUp(dialog);
  });

  test('keys in the name of another call, or outside of any, are nobody\u2019s', async () => {
    const dialog = await callRoom();
    const thief = await app.socket();
    const body = 'Signal=4\r\nDuration=160';
    for (const stolen of [
      { ...dialog, fromTag: 'other' },
      { ...dialog, toTag: 'other' },
    ]) {
      await app.inDialog(thief, { ...stolen }, 'INFO', { body, bodyType: RELAY });
    }
    await app.say(thief, 'mallory', ALPHA, { method: 'INFO', body, bodyType: RELAY });
    // One key of theirs, and the PIN would be another.
    await press(dialog, [...`${PIN}#`].map(relayed('')), RELAY);
    await until('only the own keys were heard', async () => (await peopleInside()) === 1);
    await hangUp(dialog);
  });

  test('a phone that floods a node with keys keeps nobody else waiting, and its call ends as any other', async () => {
    const dialog = await callRoom();
    const calm = await timeOf(() => app.say(app.mallory, 'mallory', ALPHA, { method: 'OPTIONS' }));
    const flood = Array.from({ length: 500 }, () => info(dialog, { body: 'Signal=5\r\nDuration=1', bodyType: RELAY }));
    const during = await timeOf(() => app.say(app.mallory, 'mallory', ALPHA, { method: 'OPTIONS' }));
    const said = await Promise.allSettled(flood);
    const answered = said.filter((one) => one.status === 'fulfilled').length;
    process.stdout.write(`OPTIONS ${calm} ms, in a flood of INFO ${during} ms; ${answered} of 500 answered\n`);
    expect(during).toBeLessThan(5000);
    await app.inDialog(phone, dialog, 'BYE').catch(() => undefined);
    await app.noChannels();
    expect((await app.say(app.mallory, 'mallory', ALPHA, { method: 'OPTIONS' })).status).toBe(200);
  });
});

async function timeOf(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return Math.round(performance.now() - began);
}
