/** Phones as they really are, at real nodes: dead, silent, started anew, moved to another socket, and many. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import WebSocket from 'ws';
import type { PresentedCall } from '../../src/domains/calls/calls';
import { startRealPool, type RealPool } from '../browser/pool/real-pool';
import { describeWithRealNode } from '../real-node';
import { useStores } from '../stores';
import { until } from '../until';
import { openRawSip, type RawSip } from './raw-sip';

const DOMAIN = 'clinic.test';
const PASSWORD = 'Kx7-wombat-plinth-92';
const md5 = (text: string): string => createHash('md5').update(text).digest('hex');

describeWithRealNode('phones at real nodes', (freeswitch) => {
  const stores = useStores();
  const opened: { close(): void }[] = [];
  let pool: RealPool;

  beforeAll(async () => {
    pool = await startRealPool(freeswitch, stores, 2);
    await pool.api.post('/v1/domains', { name: DOMAIN });
    await addUser('bert');
    const bert = await openPhone(1);
    bert.onInvite = () => ({ status: '180 Ringing' });
    await register(bert, 'bert');
  });
  afterAll(async () => {
    for (const one of opened) one.close();
    await pool.stop();
  });

  const addUser = (username: string): Promise<unknown> =>
    pool.api.post('/v1/users', { domain: DOMAIN, username, password: PASSWORD });

  async function openPhone(node: number): Promise<RawSip> {
    const sip = await openRawSip({ nodePort: pool.nodes[node]!.sipPort });
    let isOpen = true;
    opened.push({ close: () => isOpen && sip.close() });
    const { close } = sip;
    sip.close = () => {
      isOpen = false;
      close();
    };
    return sip;
  }

  /** @returns the SIP status */
  async function register(
    sip: RawSip,
    username: string,
    o: { contact?: string; callId?: string; expires?: number } = {},
  ): Promise<number> {
    const itself = `sip:${username}@${DOMAIN}`;
    const contact = o.contact ?? `sip:${username}@127.0.0.1:${sip.port}`;
    const { status } = await sip.send({
      ...{ method: 'REGISTER', uri: `sip:${DOMAIN}`, from: itself, to: itself, contact, callId: o.callId },
      ...{ login: { username, password: PASSWORD }, headers: [`Expires: ${o.expires ?? 300}`] },
    });
    return status;
  }

  type Known = { node: string; contact: string }[];
  async function phonesOf(username: string): Promise<Known> {
    const found = await pool.api.get<{ items: { registrations: Known }[] }>(
      `/v1/users?domain=${DOMAIN}&username=${username}`,
    );
    return found.items[0]!.registrations;
  }
  const phonesAre = (username: string, count: number): Promise<Known> =>
    until(`${username} has ${count} phones`, async () => {
      const phones = await phonesOf(username);
      return phones.length === count ? phones : undefined;
    });

  async function call(from: string, to = 'bert', ringTimeoutSeconds = 30): Promise<PresentedCall> {
    const asked = { domain: DOMAIN, from: `user:${from}`, to: `user:${to}`, ringTimeoutSeconds };
    const { id } = await pool.api.post<{ id: string }>('/v1/calls', asked);
    return until('the call has ended', async () => {
      const now = await pool.api.get<PresentedCall>(`/v1/calls/${id}`);
      return now.state === 'ended' ? now : undefined;
    });
  }

  test('dead phones at two nodes are rung in one attempt, given up, and rung again once they register', async () => {
    await addUser('ann');
    const phones = [await openPhone(0), await openPhone(1)];
    for (const phone of phones) expect(await register(phone, 'ann')).toBe(200);
    await phonesAre('ann', 2);
    for (const phone of phones) phone.close();
    const ended = await call('ann');
    expect(ended).toMatchObject({ outcome: 'unreachable', hangupCause: 'NORMAL_TEMPORARY_FAILURE' });
    expect(ended.attempts).toHaveLength(1);
    await phonesAre('ann', 0);
    expect(await call('ann')).toMatchObject({ outcome: 'unreachable', hangupCause: 'USER_NOT_REGISTERED' });
    const again = await openPhone(0);
    again.onInvite = () => ({ status: '486 Busy Here' });
    await register(again, 'ann');
    await phonesAre('ann', 1);
    expect(await call('ann')).toMatchObject({ outcome: 'busy' });
  });

  test.each([
    '400 Bad Request',
    '480 Temporarily Unavailable',
    '500 Server Error',
    '502 Bad Gateway',
    '503 Unavailable',
  ])('a phone that answers %s is there: one attempt, and it stays', async (status) => {
    const who = `says-${status.slice(0, 3)}`;
    await addUser(who);
    const phone = await openPhone(0);
    phone.onInvite = () => ({ status });
    await register(phone, who);
    await phonesAre(who, 1);
    expect((await call(who)).attempts).toHaveLength(1);
    expect(phone.countOf('INVITE')).toBe(1);
    expect(await phonesOf(who)).toHaveLength(1);
  });

  test('a phone that never answers is given up; one that says 100 and rings late is not', async () => {
    const outcome = async (who: string, onInvite: RawSip['onInvite']): Promise<PresentedCall> => {
      await addUser(who);
      const phone = await openPhone(0);
      phone.onInvite = onInvite;
      await register(phone, who);
      await phonesAre(who, 1);
      return call(who, 'bert', 20);
    };
    const [silent, late] = await Promise.all([
      outcome('silent', () => undefined),
      outcome('late', () => ({ status: '100 Trying' })),
    ]);
    expect(silent).toMatchObject({ outcome: 'unreachable', hangupCause: 'RECOVERY_ON_TIMER_EXPIRE' });
    expect(late).toMatchObject({ outcome: 'no_answer' });
    await phonesAre('silent', 0);
    await phonesAre('late', 1);
  });

  test("the callee's phone is dead: one attempt, and the caller's phone stays", async () => {
    await addUser('caller');
    await addUser('callee');
    const [caller, callee] = [await openPhone(0), await openPhone(1)];
    await register(caller, 'caller');
    await register(callee, 'callee');
    await phonesAre('callee', 1);
    callee.close();
    const ended = await call('caller', 'callee');
    expect(ended).toMatchObject({ outcome: 'unreachable', hangupCause: 'NORMAL_TEMPORARY_FAILURE' });
    expect(ended.attempts).toHaveLength(1);
    await phonesAre('callee', 0);
    await phonesAre('caller', 1);
  });

  test('a phone that takes back the contact it has left, with the same Call-ID, stays by its new one', async () => {
    await addUser('carl');
    const [old, now] = [await openPhone(0), await openPhone(0)];
    const left = `sip:carl@127.0.0.1:${old.port}`;
    await register(old, 'carl', { callId: 'one@raw' });
    await register(now, 'carl', { callId: 'one@raw' });
    await until('its new contact is known', async () => (await phonesOf('carl'))[0]?.contact.includes(`:${now.port}`));
    await register(now, 'carl', { callId: 'one@raw', contact: left, expires: 0 });
    await register(now, 'carl', { callId: 'one@raw' }); // told after it
    expect((await phonesAre('carl', 1))[0]!.contact).toContain(`:${now.port}`);
    await register(now, 'carl', { callId: 'two@raw', expires: 0 }); // a phone that takes itself back with a Call-ID of its own
    await phonesAre('carl', 0);
  });

  test('a phone that starts anew is one, also with another user part, and at another node', async () => {
    await addUser('dora');
    const phone = await openPhone(0);
    phone.onInvite = () => ({ status: '486 Busy Here' });
    const contact = (user: string): string => `sip:${user}@127.0.0.1:${phone.port}`;
    for (const user of ['dora', 'dora', 'dora-0x5581']) await register(phone, 'dora', { contact: contact(user) });
    await until('the newest is known', async () => {
      const phones = await phonesOf('dora');
      return phones.length === 1 && phones[0]!.contact.includes('0x5581');
    });
    expect(await call('dora')).toMatchObject({ outcome: 'busy' });
    expect(phone.countOf('INVITE')).toBe(1);
    const elsewhere = await openPhone(1);
    await register(elsewhere, 'dora', { contact: contact('dora') });
    await until('it is at the other node alone', async () => {
      const phones = await phonesOf('dora');
      return phones.length === 1 && phones[0]!.node === 'node-2';
    });
  });

  test('a mobile app is started eleven times and more: each start gets in, and the oldest gives way over the pool', async () => {
    await addUser('eve');
    for (let start = 0; start < 26; start += 1) expect(await register(await openPhone(start % 2), 'eve')).toBe(200);
    await phonesAre('eve', 20);
  });

  test('a browser changes its socket and keeps its Call-ID: it stays when the old socket closes, and goes with the new one', async () => {
    await addUser('fay');
    const first = await openPage('fay');
    await phonesAre('fay', 1);
    const [before] = await phonesOf('fay');
    const second = await openPage('fay');
    await until('its new socket is known', async () => (await phonesOf('fay'))[0]?.contact !== before!.contact);
    first.terminate();
    await new Promise((done) => setTimeout(done, 2500)); // longer than it is thought about
    expect(await phonesOf('fay')).toHaveLength(1);
    second.terminate();
    await phonesAre('fay', 0);
  });

  /** Registers by WebSocket, always as the same page. */
  async function openPage(username: string): Promise<WebSocket> {
    const socket = new WebSocket(`ws://127.0.0.1:${pool.nodes[0]!.wsPort}`, 'sip');
    opened.push({ close: () => socket.terminate() });
    await once(socket, 'open');
    let sequence = 0;
    const ask = async (...more: string[]): Promise<string> => {
      sequence += 1;
      const lines = [
        `REGISTER sip:${DOMAIN} SIP/2.0`,
        `Via: SIP/2.0/WS x.invalid;branch=z9hG4bK${randomBytes(6).toString('hex')}`,
        ...[`From: <sip:${username}@${DOMAIN}>;tag=page`, `To: <sip:${username}@${DOMAIN}>`, 'Call-ID: the-page'],
        ...[`CSeq: ${sequence} REGISTER`, 'Contact: <sip:k3k@9a8b7c.invalid;transport=ws>', 'Expires: 300'],
        ...['Max-Forwards: 70', ...more, 'Content-Length: 0', '', ''],
      ];
      const answer = once(socket, 'message') as Promise<[Buffer]>;
      socket.send(lines.join('\r\n'));
      return String((await answer)[0]);
    };
    const nonce = /nonce="([^"]+)"/.exec(await ask())![1]!;
    const ha1 = md5(`${username}:${DOMAIN}:${PASSWORD}`);
    const proof = md5(`${ha1}:${nonce}:00000001:abc:auth:${md5(`REGISTER:sip:${DOMAIN}`)}`);
    const fields = `username="${username}", realm="${DOMAIN}", nonce="${nonce}", uri="sip:${DOMAIN}", response="${proof}"`;
    const answer = await ask(`Authorization: Digest ${fields}, algorithm=MD5, qop=auth, nc=00000001, cnonce="abc"`);
    expect(answer).toContain('200 OK');
    return socket;
  }
});
