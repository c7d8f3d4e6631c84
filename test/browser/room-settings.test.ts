/** Holds rooms at real nodes to their settings, one by one, as people see and hear them. */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32, deflateSync } from 'node:zlib';
import { useStores } from '../stores';
import { describeWithBrowser, openBrowserHouse, type BrowserHouse } from './browser';
import { readPng, type Colour } from './png';
import { startRealPool, type RealPool } from './real-pool';
import { isIn, openRoomHouse, say, waitUntilEmpty, watchUntil, type Guest, type RoomHouse } from './room-house';

const DOMAIN = 'settings.test';
const WIDTH = 640;
const HEIGHT = 360;
const VIDEO = { width: WIDTH, height: HEIGHT, fps: 10, maxKbps: 500 };
const KEPT = process.env.KEEP_PICTURES === '1';

const GREEN: Colour = { red: 0, green: 160, blue: 60 };
const ORANGE: Colour = { red: 240, green: 130, blue: 0 };
const MAGENTA: Colour = { red: 200, green: 0, blue: 160 };
/** The colour of a room where nothing else was said. */
const PLAIN: Colour = { red: 0x1b, green: 0x24, blue: 0x30 };

const isLike = (a: Colour | null, b: Colour, by = 40): boolean =>
  a !== null && Math.max(Math.abs(a.red - b.red), Math.abs(a.green - b.green), Math.abs(a.blue - b.blue)) <= by;

/** A picture of one colour. */
function paint({ red, green, blue }: Colour): Buffer {
  const row = Buffer.from([0, ...Array.from({ length: WIDTH }, () => [red, green, blue]).flat()]);
  const header = Buffer.alloc(13);
  header.writeUInt32BE(WIDTH, 0);
  header.writeUInt32BE(HEIGHT, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const chunk = (type: string, data: Buffer): Buffer => {
    const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    sum.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, sum]);
  };
  return Buffer.concat([
    Buffer.from('89504e470d0a1a0a', 'hex'),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(Buffer.concat(Array<Buffer>(HEIGHT).fill(row)))),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

describeWithBrowser("a room's settings at real nodes", (freeswitch, chromium) => {
  let pool: RealPool;
  let browsers: BrowserHouse;
  let guests: Guest[] = [];

  // Before useStores(), whose own afterAll takes the database away: jest runs them in this order.
  afterAll(async () => {
    await browsers?.close();
    await pool?.stop();
  }, 30_000);

  const stores = useStores();

  beforeAll(async () => {
    [pool, browsers] = await Promise.all([startRealPool(freeswitch, stores, 2), openBrowserHouse(chromium)]);
    await pool.api.post('/v1/domains', { name: DOMAIN });
  }, 90_000);

  afterEach(async () => {
    await Promise.all(guests.map((guest) => guest.close()));
    guests = [];
    await waitUntilEmpty(pool, stores);
  }, 40_000);

  const openRoom = (name: string, settings: object = {}): Promise<RoomHouse> =>
    openRoomHouse(pool, browsers, DOMAIN, { name, video: VIDEO, musicWhileAlone: false, ...settings });

  /** They come in one after the other. */
  async function enter(room: RoomHouse, name: string, o: Parameters<RoomHouse['openGuest']>[1] = {}): Promise<Guest> {
    const guest = await room.openGuest(name, o);
    guests.push(guest);
    await guest.enter();
    return guest;
  }

  const inside = (room: RoomHouse, count: number) => room.see(`${count} in`, (seen) => isIn(seen, count));

  async function upload(room: RoomHouse, kind: string, body: Buffer, type = 'image/png') {
    const answer = await fetch(`${pool.url}/v1/rooms/${room.roomId}/pictures/${kind}`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${pool.apiKey}`, 'content-type': type },
      body: new Uint8Array(body),
      signal: AbortSignal.timeout(20_000),
    });
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  }

  /** The strip above the tiles of the layout 2x1, and the middle of the left one. */
  async function colours(room: RoomHouse, label: string): Promise<{ edge: Colour; left: Colour }> {
    const png = await room.snapshot();
    if (KEPT) await writeFile(join(tmpdir(), `room-settings-${label}.png`), png);
    const pixels = readPng(png);
    return { edge: pixels.meanOf(20, 20, 600, 30), left: pixels.meanOf(100, 150, 60, 60) };
  }
  const sees = (room: RoomHouse, label: string, test: (seen: { edge: Colour; left: Colour }) => boolean) =>
    watchUntil(label, () => colours(room, label), test);

  it('shows the welcome to who is alone and the background to all, also when the room has moved', async () => {
    const room = await openRoom('pictures', { layout: '2x1' });
    expect(await upload(room, 'background', paint(GREEN))).toMatchObject({ status: 200, body: { pending: [] } });
    expect(await upload(room, 'welcome', paint(MAGENTA))).toMatchObject({ status: 200, body: { width: 640 } });
    expect(await upload(room, 'welcome', paint(GREEN), 'image/jpeg')).toMatchObject({ status: 415 });
    expect(await upload(room, 'welcome', paint(GREEN).subarray(0, 200))).toMatchObject({ status: 422 });
    await enter(room, 'Ann', { paint: '#2040ff' });
    await inside(room, 1);
    await sees(room, 'welcome', ({ edge, left }) => isLike(edge, MAGENTA) && isLike(left, MAGENTA));
    const ben = await enter(room, 'Ben', { paint: '#ffee00' });
    await inside(room, 2);
    await sees(
      room,
      'background',
      ({ edge, left }) => isLike(edge, GREEN) && !isLike(left, MAGENTA) && !isLike(left, GREEN),
    );
    expect(await upload(room, 'background', paint(ORANGE))).toMatchObject({ status: 200, body: { pending: [] } });
    await sees(room, 'replaced', ({ edge }) => isLike(edge, ORANGE));
    const paths = (await stores.db('session_pictures').select('path')).map(({ path }: { path: string }) => path);
    expect(paths.map((path) => existsSync(path))).toEqual([true, true]);

    const before = (await room.look()).session!;
    const node = (await pool.api.get<{ items: { id: string; name: string }[] }>('/v1/nodes')).items.find(
      ({ name }) => name === before.node,
    )!;
    await pool.api.post(`/v1/nodes/${node.id}/drain`, { deadlineSeconds: 1 });
    await room.see('the room elsewhere', (seen) => seen.session?.node !== before.node && isIn(seen, 2));
    await sees(room, 'moved', ({ edge }) => isLike(edge, ORANGE));
    await pool.api.post(`/v1/nodes/${node.id}/resume`);

    await ben.leave();
    await inside(room, 1);
    await sees(room, 'alone-again', ({ edge, left }) => isLike(edge, MAGENTA) && isLike(left, MAGENTA));
    await fetch(`${pool.url}/v1/rooms/${room.roomId}/pictures/welcome`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${pool.apiKey}` },
    });
    await sees(room, 'without-welcome', ({ edge, left }) => isLike(edge, ORANGE) && !isLike(left, MAGENTA));
    await fetch(`${pool.url}/v1/rooms/${room.roomId}/pictures/background`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${pool.apiKey}` },
    });
    await sees(room, 'plain', ({ edge }) => isLike(edge, PLAIN));
    await watchUntil(
      'no file left',
      () => Promise.resolve(paths.filter((path) => existsSync(path))),
      (left) => left.length === 0,
    );
    say('looked at: welcome, background, replaced, moved, alone again, without');
  }, 90_000);
});
