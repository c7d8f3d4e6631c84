/** Holds a pool behind TLS to what a site on https gets: browsers by wss, nodes that check whom they tell their secrets. */
import { createHash, createPublicKey, randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { launchRealNode, type RealNode } from '../../../scripts/nodes/launch-node';
import { describeUnless } from '../../real-node';
import { useStores } from '../../stores';
import { describeWithBrowser, startBrowserApp, type BrowserApp } from '../pages/browser';
import { startRealPool, type RealPool } from '../pool/real-pool';
import { isIn, startRoomApp, say, waitUntilEmpty, watchUntil, type Guest, type RoomApp } from '../pool/room-pool';
import { makeCertificates, openTlsFront, opensslBinary, type Certificates, type TlsFront } from '../programs/tls-front';

const DOMAIN = 'tls.test';
const RECORDED_MS = 3000;

function describeWithTls(name: string, tests: (freeswitch: string, chromium: string, openssl: string) => void): void {
  const openssl = opensslBinary();
  if (openssl) return describeWithBrowser(name, (freeswitch, chromium) => tests(freeswitch, chromium, openssl));
  describeUnless('no openssl found (PATH)', name, () => undefined);
}

describeWithTls('a pool behind TLS at a real node', (freeswitch, chromium, openssl) => {
  let dir: string;
  let certificates: Certificates;
  let front: TlsFront;
  let pool: RealPool;
  let browsers: BrowserApp;
  let room: RoomApp;
  const guests: Guest[] = [];

  afterAll(async () => {
    await browsers?.close();
    await pool?.stop();
    await front?.close();
    if (dir) await rm(dir, { recursive: true, force: true });
  }, 30_000);

  const stores = useStores();

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'tls-'));
    await chmod(dir, 0o711); // the node's own user reads whom to believe
    certificates = await makeCertificates(openssl, dir);
    const { caFile, certificate, key } = certificates;
    let switchyard = '';
    front = await openTlsFront(certificates, () => switchyard);
    const tls = {
      url: front.url,
      passTo: (url: string) => void (switchyard = url),
      wssPem: certificate + key,
      // The node's own questions, and those of the program curl, by which recordings leave it.
      nodeEnvironment: { SWITCHYARD_CA_FILE: caFile, CURL_CA_BUNDLE: caFile },
    };
    const spki = createPublicKey(certificate).export({ type: 'spki', format: 'der' });
    const pin = createHash('sha256').update(spki).digest('base64');
    [pool, browsers] = await Promise.all([
      startRealPool(freeswitch, stores, 1, {}, tls),
      startBrowserApp(chromium, { cert: certificate, key, pin }),
    ]);
    await pool.api.post('/v1/domains', { name: DOMAIN });
    const video = { width: 640, height: 360, fps: 10, maxKbps: 500 };
    room = await startRoomApp(pool, browsers, DOMAIN, { name: 'safe', video, musicWhileAlone: false });
  }, 90_000);

  test('brings guests of an https page into a room by wss, with sound, video and events', async () => {
    for (const name of ['Ann', 'Ben']) guests.push(await room.openGuest(name));
    for (const guest of guests) {
      expect(guest.grant.wssUrl).toMatch(/^wss:\/\/127\.0\.0\.1:\d+$/);
      await guest.enter();
    }
    await room.see('both in', (seen) => isIn(seen, 2));
    for (const guest of guests)
      await watchUntil('sound and video', guest.received, (r) => r.audioPackets > 50 && r.framesDecoded > 5);
    expect(front.asked).toEqual(expect.arrayContaining(['POST /freeswitch/xml', 'GET /v1/events']));
    say(`in by ${guests[0]!.grant.wssUrl}, the page and its events by https`);
  }, 90_000);

  test('brings a recording and the call records home by https', async () => {
    const path = `/v1/rooms/${room.roomId}/recordings`;
    const { id } = await pool.api.post<{ id: string }>(path);
    const look = () => pool.api.get<{ state: string; bytes: number }>(`/v1/recordings/${id}`);
    await watchUntil('the recording to run', look, ({ state }) => state === 'recording');
    await new Promise((resolve) => setTimeout(resolve, RECORDED_MS));
    await pool.api.post(`/v1/recordings/${id}/stop`);
    const { bytes } = await watchUntil('the recording to be home', look, ({ state }) => state === 'completed');
    expect(bytes).toBeGreaterThan(10_000);
    for (const guest of guests) await guest.leave();
    const records = () => Promise.resolve(front.asked.filter((what) => what === 'POST /freeswitch/cdr').length);
    await watchUntil('a record of each call', records, (count) => count >= guests.length);
    expect(front.asked.filter((what) => what.startsWith('PUT /freeswitch/recordings/'))).toHaveLength(1);
    for (const guest of guests) await guest.close();
    await waitUntilEmpty(pool, stores);
    say(`${bytes} bytes and ${await records()} call records came by https`);
  }, 90_000);

  test('gets no password of a node that does not know its certificate', async () => {
    const asked = front.asked.length;
    let stranger: RealNode | undefined;
    try {
      stranger = await launchRealNode({
        binary: freeswitch,
        dir: join(dir, 'stranger'),
        name: 'stranger',
        xmlUrl: `${front.url}/freeswitch/xml?host=127.0.0.1`,
        password: `never-shown.${randomBytes(16).toString('hex')}`,
      });
      const { logFile, ended } = stranger;
      let isOver = false;
      void ended.then(() => (isOver = true));
      await watchUntil(
        'it to end',
        () => Promise.resolve(isOver),
        (over) => over,
      );
      // curl's 60: the certificate is of nobody it believes.
      const [reason] = /CURL returned error:\[60\].*/.exec(await readFile(logFile, 'utf8')) ?? [];
      expect(reason).toBeDefined();
      say(reason!);
    } finally {
      await stranger?.stop();
    }
    const since = front.asked.slice(asked).filter((what) => what !== 'POST /freeswitch/xml');
    expect(since).toEqual([]);
    const { items } = await pool.api.get<{ items: { name: string }[] }>('/v1/nodes');
    expect(items.map(({ name }) => name)).toEqual(['node-1']);
  }, 90_000);
});
