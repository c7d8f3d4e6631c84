/** Holds rooms at real nodes to their settings, one by one, as people see and hear them. */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { crc32, deflateSync } from 'node:zlib';
import { useStores } from '../../stores';
import { describeWithBrowser, startBrowserApp, type BrowserApp } from '../pages/browser';
import { readPng, type Colour } from '../pages/png';
import { startRealPool, type RealPool } from '../pool/real-pool';
import { isIn, startRoomApp, say, waitUntilEmpty, watchUntil, type Guest, type RoomApp } from '../pool/room-pool';

const DOMAIN = 'settings.test';
const WIDTH = 640;
const HEIGHT = 360;
const VIDEO = { width: WIDTH, height: HEIGHT, fps: 10, maxKbps: 500 };
/** Silence gathers 0.0000001 in some seconds, the quiet music of a room 0.0004, a voice 0.5. */
const HEARD = 0.00005;
const KEPT = process.env.KEEP_SNAPSHOTS === '1';

const GREEN: Colour = { red: 0, green: 160, blue: 60 };
const ORANGE: Colour = { red: 240, green: 130, blue: 0 };
const MAGENTA: Colour = { red: 200, green: 0, blue: 160 };
/** The colour of a room where nothing else was said. */
const PLAIN: Colour = { red: 0x1b, green: 0x24, blue: 0x30 };

const isLike = (a: Colour | null, b: Colour, by = 40): boolean =>
  a !== null && Math.max(Math.abs(a.red - b.red), Math.abs(a.green - b.green), Math.abs(a.blue - b.blue)) <= by;

/** A video of one colour. */
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
  let browsers: BrowserApp;
  let guests: Guest[] = [];

  // Before useStores(), whose own afterAll takes the database away: jest runs them in this order.
  afterAll(async () => {
    await browsers?.close();
    await pool?.stop();
  }, 30_000);

  const stores = useStores();

  beforeAll(async () => {
    [pool, browsers] = await Promise.all([startRealPool(freeswitch, stores, 2), startBrowserApp(chromium)]);
    await pool.api.post('/v1/domains', { name: DOMAIN });
  }, 90_000);

  afterEach(async () => {
    await Promise.all(guests.map((guest) => guest.close()));
    guests = [];
    await waitUntilEmpty(pool, stores);
  }, 40_000);

  const openRoom = (name: string, settings: object = {}): Promise<RoomApp> =>
    startRoomApp(pool, browsers, DOMAIN, { name, video: VIDEO, musicWhileAlone: false, ...settings });

  /** They come in one after the other. */
  async function enter(room: RoomApp, name: string, o: Parameters<RoomApp['openGuest']>[1] = {}): Promise<Guest> {
    const guest = await room.openGuest(name, o);
    guests.push(guest);
    await guest.enter();
    return guest;
  }

  const inside = (room: RoomApp, count: number) => room.see(`${count} in`, (seen) => isIn(seen, count));

  async function upload(room: RoomApp, kind: string, body: Buffer, type = 'image/png') {
    const answer = await fetch(`${pool.url}/v1/rooms/${room.roomId}/images/${kind}`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${pool.apiKey}`, 'content-type': type },
      body: new Uint8Array(body),
      signal: AbortSignal.timeout(20_000),
    });
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  }

  /** The strip above the tiles of the layout 2x1, and the middle of the left one. */
  async function colours(room: RoomApp, label: string): Promise<{ edge: Colour; left: Colour }> {
    const png = await room.snapshot();
    if (KEPT) await writeFile(join(tmpdir(), `room-settings-${label}.png`), png);
    const pixels = readPng(png);
    return { edge: pixels.meanOf(20, 20, 600, 30), left: pixels.meanOf(100, 150, 60, 60) };
  }
  const sees = (room: RoomApp, label: string, test: (seen: { edge: Colour; left: Colour }) => boolean) =>
    watchUntil(label, () => colours(room, label), test);

  test('shows the welcome to who is alone and the background to all, also when the room has moved', async () => {
    const room = await openRoom('images', { layout: '2x1' });
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
    const paths = (await stores.db('session_images').select('path')).map(({ path }: { path: string }) => path);
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
    await fetch(`${pool.url}/v1/rooms/${room.roomId}/images/welcome`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${pool.apiKey}` },
    });
    await sees(room, 'without-welcome', ({ edge, left }) => isLike(edge, ORANGE) && !isLike(left, MAGENTA));
    await fetch(`${pool.url}/v1/rooms/${room.roomId}/images/background`, {
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

  /** How much of what was heard, or came as a video, in this time. */
  async function during(
    guest: Guest,
    ms: number,
  ): Promise<{ energy: number; frames: number; kbpsIn: number; kbpsOut: number }> {
    const before = await guest.received();
    const from = Date.now();
    await sleep(ms);
    const after = await guest.received();
    const kbps = (bytes: number): number => Math.round((bytes * 8) / (Date.now() - from));
    return {
      energy: after.audioEnergy - before.audioEnergy,
      frames: after.framesDecoded - before.framesDecoded,
      kbpsIn: kbps(after.videoBytes - before.videoBytes),
      kbpsOut: kbps(after.videoBytesSent - before.videoBytesSent),
    };
  }

  test('passes the video of who has the floor through, as it came', async () => {
    const room = await openRoom('passed', { video: { ...VIDEO, mode: 'passthrough' } });
    const ann = await enter(room, 'Ann', { paint: '#ff0000' });
    await inside(room, 1);
    const ben = await enter(room, 'Ben', { paint: '#0000ff' });
    await inside(room, 2);
    await watchUntil('Ann to see Ben', ann.colour, (c) => isLike(c, { red: 0, green: 0, blue: 255 }, 60));
    await watchUntil('Ben to see Ann', ben.colour, (c) => isLike(c, { red: 255, green: 0, blue: 0 }, 60));
    const cid = await enter(room, 'Cid', { paint: '#00ff00' });
    const { roomState } = await inside(room, 3);
    for (const [guest, colour] of [
      [ann, { red: 255, green: 0, blue: 0 }],
      [ben, { red: 0, green: 0, blue: 255 }],
    ] as const) {
      const { id } = roomState.items.find(({ grantId }) => grantId === guest.grant.id)!;
      await room.put('/floor', { participantId: id, video: true });
      await watchUntil(`Cid to see ${guest.name}`, cid.colour, (c) => isLike(c, colour, 60));
    }
    say(`frames a second through: ${(await during(cid, 2000)).frames / 2}`);
  }, 90_000);

  test('lets nobody be heard before a moderator is there, and ends with the last one', async () => {
    const settings = { waitForModerator: true, endWithModerator: true, audioOnly: true };
    const room = await openRoom('waiting', { ...settings, sounds: { entry: 'none', exit: 'none' } });
    const music = await openRoom('music', { ...settings, musicWhileAlone: true });
    const ann = await enter(room, 'Ann');
    await enter(room, 'Ben');
    const cid = await enter(music, 'Cid');
    await inside(room, 2);
    await inside(music, 1);
    await watchUntil('sound to flow', ann.received, ({ audioPackets }) => audioPackets > 50);
    const [quiet, waiting] = await Promise.all([during(ann, 1500), during(cid, 1500)]);
    const moderator = await enter(room, 'Mod', { grant: { role: 'moderator' } });
    await inside(room, 3);
    const begun = await during(ann, 1500);
    say(`energy: ${quiet.energy} before the moderator, ${begun.energy} after; music ${waiting.energy}`);
    expect(quiet.energy).toBeLessThan(HEARD);
    expect(waiting.energy).toBeGreaterThan(HEARD);
    expect(begun.energy).toBeGreaterThan(HEARD);
    const leftAt = Date.now();
    await moderator.leave();
    await watchUntil('the end', ann.state, ({ state }) => state === 'ended');
    const seconds = (Date.now() - leftAt) / 1000;
    say(`over ${seconds.toFixed(1)} s after the moderator left`);
    expect(seconds).toBeGreaterThan(8);
    expect(seconds).toBeLessThan(18);
  }, 90_000);

  test('mutes who enters but moderators, and plays the sounds of entry and exit', async () => {
    const sounds = { entry: 'chime', exit: 'beep' };
    const room = await openRoom('muted', { mutedOnEntry: true, audioOnly: true, sounds });
    const still = await openRoom('still', {
      mutedOnEntry: true,
      audioOnly: true,
      sounds: { entry: 'none', exit: 'none' },
    });
    const listeners: Guest[] = [];
    await Promise.all(
      [room, still].map(async (each, i) => {
        const moderator = await enter(each, 'Mod', { grant: { role: 'moderator' } });
        listeners[i] = await enter(each, 'Ann');
        await enter(each, 'Ben');
        const { roomState } = await inside(each, 3);
        const muted = (role: string) => roomState.items.find((one) => one.role === role)!.observed.muted;
        expect([muted('participant'), muted('moderator')]).toEqual([true, false]);
        await watchUntil('the moderator to be heard', listeners[i].received, ({ audioEnergy }) => audioEnergy > HEARD);
        await moderator.leave();
        await inside(each, 2);
      }),
    );
    const late = await Promise.all([room, still].map((each) => each.openGuest('Cid')));
    guests.push(...late);
    await sleep(1500); // the sound of an exit is over
    const energies = async () => (await Promise.all(listeners.map((one) => one.received()))).map((r) => r.audioEnergy);
    /** What was heard while it happened, in the room with sounds and in the one without. */
    async function heardWhile(what: () => Promise<unknown>): Promise<[number, number]> {
      const before = await energies();
      await what();
      await sleep(1200);
      const after = await energies();
      return [after[0]! - before[0]!, after[1]! - before[1]!];
    }
    const all = {
      quiet: await heardWhile(() => Promise.resolve()),
      entry: await heardWhile(async () => {
        await Promise.all(late.map((one) => one.enter()));
        await Promise.all([inside(room, 3), inside(still, 3)]);
      }),
      exit: await heardWhile(async () => {
        await Promise.all(late.map((one) => one.leave()));
        await Promise.all([inside(room, 2), inside(still, 2)]);
      }),
    };
    say(`energy with sounds, and without: ${JSON.stringify(all)}`);
    expect(Math.max(...all.quiet, all.entry[1], all.exit[1])).toBeLessThan(HEARD);
    expect(Math.min(all.entry[0], all.exit[0])).toBeGreaterThan(HEARD);
  }, 90_000);

  test('has no video where it is audio only, and no place for one too many', async () => {
    const room = await openRoom('small', { audioOnly: true, maxParticipants: 2 });
    const ann = await enter(room, 'Ann');
    const ben = await enter(room, 'Ben');
    const { roomState } = await inside(room, 2);
    expect(roomState.items.map(({ observed }) => observed.hasVideo)).toEqual([false, false]);
    const cid = await enter(room, 'Cid');
    const { cause } = await watchUntil('the refusal', cid.state, ({ state }) => state === 'failed');
    await watchUntil('both to hear', ben.received, ({ audioPackets }) => audioPackets > 50);
    expect((await ann.received()).framesDecoded).toBe(0);
    expect((await ann.state()).state).toBe('in');
    say(`one too many: ${cause}`);
  }, 90_000);

  test('sends one of them less while the room goes on, and as much as all again', async () => {
    const room = await openRoom('limited', { video: { ...VIDEO, fps: 15, maxKbps: 2000 } });
    const [ann, ben] = [await enter(room, 'Ann'), await enter(room, 'Ben')];
    const { roomState } = await inside(room, 2);
    for (const guest of [ann, ben]) {
      await watchUntil('a video', guest.received, ({ framesDecoded }) => framesDecoded > 20);
    }
    const { id } = roomState.items.find(({ grantId }) => grantId === ann.grant.id)!;
    const measured = async (maxVideoKbps: number | null): Promise<[number, number]> => {
      const answer = await fetch(`${pool.url}/v1/rooms/${room.roomId}/participants/${id}`, {
        method: 'PATCH',
        headers: { authorization: `Bearer ${pool.apiKey}`, 'content-type': 'application/json' },
        body: JSON.stringify({ maxVideoKbps }),
        signal: AbortSignal.timeout(20_000),
      });
      expect(await answer.json()).toMatchObject({ observed: { maxVideoKbps }, pending: [] });
      await sleep(4000); // an encoder takes some seconds to find its rate
      const [a, b] = await Promise.all([during(ann, 4000), during(ben, 4000)]);
      say(`at most ${maxVideoKbps} kbit/s for Ann: ${a.kbpsIn} of ${a.frames} frames; Ben ${b.kbpsIn}`);
      expect(Math.min(a.frames, b.frames)).toBeGreaterThan(20);
      return [a.kbpsIn, b.kbpsIn];
    };
    const [less, all] = await measured(64);
    expect(less).toBeLessThan(0.6 * all);
    const [again, others] = await measured(null);
    expect(again).toBeGreaterThan(0.8 * others);
  }, 90_000);

  test('encodes once for all and gives everybody the video, and less of it to who may have less', async () => {
    const video = { ...VIDEO, fps: 15, maxKbps: 2000 };
    const rates: { kbpsIn: number; kbpsOut: number }[] = [];
    for (const [name, participantKbps] of [
      ['wide', null],
      ['narrow', 100],
    ] as const) {
      const room = await openRoom(name, { video: { ...video, participantKbps } });
      const both = [await enter(room, 'Ann'), await enter(room, 'Ben')];
      await inside(room, 2);
      for (const guest of both) await watchUntil('a video', guest.received, ({ framesDecoded }) => framesDecoded > 20);
      await sleep(4000); // an encoder takes some seconds to find its rate
      const seen = await Promise.all(both.map((guest) => during(guest, 4000)));
      for (const { frames } of seen) expect(frames).toBeGreaterThan(20);
      rates.push(seen[0]!);
      say(
        `${name}: ${seen.map(({ frames, kbpsIn, kbpsOut }) => `${frames} frames in 4 s, ${kbpsIn} kbit/s in, ${kbpsOut} out`).join('; ')}`,
      );
      await Promise.all(both.map((guest) => guest.leave()));
    }
    const [wide, narrow] = rates;
    expect(narrow!.kbpsIn).toBeLessThan(Math.min(160, wide!.kbpsIn));
    expect(narrow!.kbpsOut).toBeLessThan(Math.min(160, wide!.kbpsOut));
  }, 90_000);
});
