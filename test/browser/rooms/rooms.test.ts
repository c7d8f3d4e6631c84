/** Holds rooms at real nodes to what people get: who is in, how the video lies, what is recorded, who is kept out. */
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { useStores } from '../../stores';
import { describeWithBrowser, startBrowserApp, type BrowserApp } from '../pages/browser';
import type { PhoneCall } from '../../../scripts/sip-phone/outgoing';
import { startPhone, type Phone } from '../../../scripts/sip-phone/phone';
import { readPng } from '../pages/png';
import { startRealPool, type RealPool } from '../pool/real-pool';
import {
  isIn,
  startRoomApp,
  say,
  STEP_MS,
  waitUntilEmpty,
  watchUntil,
  type Guest,
  type Person,
  type RoomState,
  type RoomApp,
} from '../pool/room-pool';
import { areBothThere, PLACES, tileAt, type Place, type Tile } from '../pages/tiles';

const DOMAIN = 'rooms.test';
const PIN = '4711';
const WIDTH = 640;
const HEIGHT = 360;
/** Changes are to be read from the API within this. */
const SEEN_MS = 1000;
/** Videos and recordings stay where they were written, to be looked at. */
const KEPT = process.env.KEEP_SNAPSHOTS === '1';
/** How long each part of the recording is let run. */
const SECONDS = [4, 3] as const;
const run = promisify(execFile);

describeWithBrowser('rooms of browsers and telephones at real nodes', (freeswitch, chromium) => {
  let pool: RealPool;
  let browsers: BrowserApp;
  let room: RoomApp;
  let telephone: Phone;
  let line: PhoneCall;
  let ann: Guest;
  let ben: Guest;
  let folder: string;
  const open: Guest[] = [];

  // Before useStores(), whose own afterAll takes the database away: jest runs them in this order.
  afterAll(async () => {
    await telephone?.stop();
    await browsers?.close();
    await pool?.stop();
    if (folder && !KEPT) await rm(folder, { recursive: true, force: true });
  }, 30_000);

  const stores = useStores();

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'rooms-'));
    [pool, browsers] = await Promise.all([startRealPool(freeswitch, stores, 2), startBrowserApp(chromium)]);
    await pool.api.post('/v1/domains', { name: DOMAIN });
    const password = randomBytes(12).toString('base64url');
    await pool.api.post('/v1/users', { domain: DOMAIN, username: '1001', password, displayName: 'Telephone' });
    const video = { width: WIDTH, height: HEIGHT, fps: 10, maxKbps: 500 };
    const settings = { name: 'daily', pin: PIN, video, layout: '2x2', musicWhileAlone: false };
    room = await startRoomApp(pool, browsers, DOMAIN, settings);
    ann = await openGuest('Ann', { grant: { role: 'moderator' } });
    ben = await openGuest('Ben', { paint: '#0000c0', grant: { identity: 'ben' } });
    // At the other node than the room's, so that it is bridged between them.
    const { sipPort } = pool.nodes.find(({ name }) => name !== ann.grant.node)!;
    telephone = await startPhone({ username: '1001', password, domain: DOMAIN, nodePort: sipPort, sound: 'tone' });
  }, 90_000);

  async function openGuest(...asked: Parameters<RoomApp['openGuest']>): Promise<Guest> {
    const guest = await room.openGuest(...asked);
    open.push(guest);
    return guest;
  }

  const find = ({ items }: RoomState, name: string): Person | undefined =>
    items.find((person) => person.name === name && person.state === 'in');
  /** Waits until the API shows it, and holds that to a second from when it was done. */
  async function seeSoon(
    what: string,
    from: number | ((roomState: RoomState) => number),
    test: (roomState: RoomState) => boolean,
  ): Promise<RoomState> {
    const { roomState } = await room.see(what, test).catch((fault: Error) => {
      throw new Error([fault.message, ...pool.warnings.slice(-10)].join('\n'));
    });
    const tookMs = Date.now() - (typeof from === 'number' ? from : from(roomState));
    const limitMs = SEEN_MS + (await room.measureLateness());
    say(`${what}: seen after ${tookMs} ms (of ${limitMs})`);
    expect(tookMs).toBeLessThan(limitMs);
    return roomState;
  }

  /** Calls, and waits until the page itself says that it is connected. @returns when that was */
  async function enter(guest: Guest): Promise<number> {
    await guest.enter();
    await watchUntil(`${guest.name} to be connected`, guest.state, ({ state }) => state === 'in');
    return (await guest.diary()).findLast(({ what }) => what === 'in')!.atMs;
  }

  test('shows within a second who is in: two browsers by grant, and a telephone with the PIN over the other node', async () => {
    await seeSoon('Ann', await enter(ann), (seen) => find(seen, 'Ann')?.observed.hasVideo === true);
    await seeSoon('Ben', await enter(ben), (seen) => find(seen, 'Ben')?.observed.hasVideo === true);
    line = await telephone.dial('daily');
    expect(line.end()).toBeUndefined();
    await line.waitForPrompt();
    await line.press(`${PIN}#`);
    // Its way over the other node is no change of the room: counted from when its node let it in.
    const letIn = (seen: RoomState): number => Date.parse(find(seen, 'Telephone')!.since!);
    const roomState = await seeSoon('the telephone', letIn, (seen) => find(seen, 'Telephone') !== undefined);
    expect(find(roomState, 'Ann')).toMatchObject({ kind: 'grant', role: 'moderator', grantId: ann.grant.id });
    expect(find(roomState, 'Ben')).toMatchObject({ kind: 'grant', identity: 'ben', role: 'participant' });
    expect(find(roomState, 'Telephone')).toMatchObject({ kind: 'user', identity: 'user:1001', grantId: null });
    expect(find(roomState, 'Telephone')!.observed.hasVideo).toBe(false);
    const before = line.heard();
    await watchUntil(
      'the telephone to hear',
      () => Promise.resolve(line.heard()),
      (heard) => heard > before + 5,
    );
    for (const guest of [ann, ben]) {
      await watchUntil('sound and video', guest.received, (r) => r.audioPackets > 50 && r.framesDecoded > 5);
    }
  }, 90_000);

  test('keeps somebody muted who comes back, and shows each change within a second', async () => {
    const { id } = find(await room.look(), 'Ben')!;
    await seeSoon(
      'Ben muted',
      await patched(id, { muted: true }),
      (seen) => find(seen, 'Ben')!.observed.muted === true,
    );
    const leftMs = Date.now();
    await ben.leave();
    await seeSoon('Ben gone', leftMs, (seen) => isIn(seen, 2) && !find(seen, 'Ben'));
    const roomState = await seeSoon('Ben back', await enter(ben), (seen) => find(seen, 'Ben')?.observed.muted === true);
    expect(find(roomState, 'Ben')).toMatchObject({ id, desired: { muted: true } });
    const unmuted = await patched(id, { muted: false });
    await seeSoon('Ben unmuted', unmuted, (seen) => find(seen, 'Ben')!.observed.muted === false);
  }, 60_000);

  async function patched(id: string, change: object): Promise<number> {
    const fromMs = Date.now();
    await pool.api.patch(`/v1/rooms/${room.roomId}/participants/${id}`, change);
    return fromMs;
  }

  /** Looks until the people's tiles are so, and keeps the video. */
  async function seeState(
    name: string,
    places: readonly Place[],
    test: (tiles: (Tile | undefined)[]) => boolean,
  ): Promise<void> {
    const fromMs = Date.now();
    let png: Buffer = Buffer.alloc(0);
    const tiles = await watchUntil(
      `the video of ${name}`,
      async () => {
        png = await room.snapshot();
        const pixels = readPng(png);
        expect([pixels.width, pixels.height]).toEqual([WIDTH, HEIGHT]);
        return places.map((place) => tileAt(pixels, place));
      },
      (seen) => areBothThere(seen) && test(seen),
    ).finally(() => writeFile(join(folder, `${name.replace(/\W+/g, '-')}.png`), png));
    say(`${name}: ${tiles.join(', ')} after ${Date.now() - fromMs} ms`);
  }

  async function chooseLayout(layout: string): Promise<void> {
    await room.put('/layout', { layout });
    const { session } = await room.look();
    expect(session!.layout).toEqual({ desired: layout, observed: layout });
  }

  test('divides the video as it is told: three layouts, and the large place goes with the floor', async () => {
    for (const layout of ['2x2', '1x2'] as const) {
      await chooseLayout(layout);
      await seeState(layout, PLACES[layout], (tiles) => !tiles.slice(0, 2).includes('nobody'));
    }
    await chooseLayout('1up_top_left+5');
    for (const [name, colour] of [
      ['Ann', 'green'],
      ['Ben', 'blue'],
    ] as const) {
      const { items } = await room.look();
      const { id } = items.find((person) => person.name === name)!;
      // FreeSWITCH gives the floor of the sound to whoever speaks while its holder is silent: only the holder may speak.
      for (const person of items) await patched(person.id, { muted: person.id !== id });
      const fromMs = Date.now();
      const moved = seeSoon(`the floor of ${name}`, fromMs, (seen) => {
        const { floor, videoFloor } = seen.session!;
        return [floor, videoFloor].every(({ heldFor, participantId }) => heldFor === id && participantId === id);
      });
      const [roomState] = await Promise.all([moved, room.put('/floor', { participantId: id })]);
      expect(find(roomState, name)).toMatchObject({ floor: true, videoFloor: true });
      await seeState(`floor of ${name}`, PLACES['1up_top_left+5'], ([large]) => large === colour);
    }
    await room.put('/floor', { participantId: null });
    for (const { id } of (await room.look()).items) await patched(id, { muted: false });
    if (KEPT) say(`videos in ${folder}`);
  }, 90_000);

  interface Recording {
    id: string;
    state: string;
    expectedSeconds: number;
    recordedSeconds: number;
    completeness: number;
    parts: { number: number; state: string; seconds: number | null; bytes: number; sha256: string | null }[];
    gaps: { reason: string }[];
  }

  test('records in two parts, which play with video and sound for as long as was recorded', async () => {
    const ffprobe = (process.env.PATH ?? '')
      .split(delimiter)
      .map((dir) => join(dir, 'ffprobe'))
      .find(existsSync);
    if (!ffprobe) return say('no ffprobe found on PATH: recordings are not looked into');
    const { id } = await pool.api.post<{ id: string }>(`/v1/rooms/${room.roomId}/recordings`);
    const read = (): Promise<Recording> => pool.api.get<Recording>(`/v1/recordings/${id}`);
    const act = (action: string): Promise<unknown> => pool.api.post(`/v1/recordings/${id}/${action}`);
    /** Seconds from asking until it stands still: no part is much longer. */
    const spans: number[] = [];
    async function recordUntil(action: 'pause' | 'stop', number: 1 | 2): Promise<void> {
      const fromMs = Date.now();
      await watchUntil(`part ${number}`, read, ({ parts }) => parts[number - 1]?.state === 'recording');
      await sleep(SECONDS[number - 1]! * 1000); // what is recorded
      await act(action);
      await watchUntil(`the ${action}`, read, ({ parts }) => parts[number - 1]!.state !== 'recording');
      spans.push((Date.now() - fromMs) / 1000);
    }
    await recordUntil('pause', 1);
    await watchUntil('the pause', read, ({ state }) => state === 'paused');
    await sleep(2000); // what is not
    await act('resume');
    await recordUntil('stop', 2);
    const done = await watchUntil('the recording to be complete', read, ({ state }) => state === 'completed');
    expect(done.parts.map(({ state }) => state)).toEqual(['stored', 'stored']);
    expect(done.gaps).toMatchObject([{ reason: 'paused' }]);
    for (const [i, seconds] of SECONDS.entries()) {
      const part = done.parts[i]!;
      const answer = await fetch(`${pool.url}/v1/recordings/${id}/media?part=${part.number}`, {
        headers: { authorization: `Bearer ${pool.apiKey}` },
        signal: AbortSignal.timeout(STEP_MS),
      });
      expect(answer.status).toBe(200);
      const bytes = Buffer.from(await answer.arrayBuffer());
      expect(bytes).toHaveLength(part.bytes);
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(part.sha256);
      const file = join(folder, `part-${part.number}.mp4`);
      await writeFile(file, bytes);
      const { stdout } = await run(ffprobe, ['-v', 'error', '-show_streams', '-show_format', '-of', 'json', file]);
      const seen = JSON.parse(stdout) as {
        streams: { codec_type: string; codec_name: string; duration: string }[];
        format: { duration: string };
      };
      const lengths = seen.streams.map((s) => `${s.codec_type} ${s.codec_name} ${s.duration} s`);
      say(`part ${part.number}: ${lengths.join(', ')}; ${part.seconds} s in the ledger`);
      expect(seen.streams.map(({ codec_type }) => codec_type).sort()).toEqual(['audio', 'video']);
      expect(Math.abs(Number(seen.format.duration) - part.seconds!)).toBeLessThan(0.5);
      expect(Number(seen.format.duration)).toBeGreaterThan(seconds - 0.5);
      expect(Number(seen.format.duration)).toBeLessThan(spans[i]! + 1);
    }
    say(`${done.recordedSeconds} of ${done.expectedSeconds} s recorded: ${done.completeness}`);
  }, 90_000);

  const refusals = async (): Promise<unknown[]> =>
    (await room.events('participant.refused')).map(({ data }) => [data.name, data.reason]);

  test('keeps out who has no PIN, and everybody from a full or a locked room; phone, page and events say why', async () => {
    await line.hangup();
    await room.see('the telephone gone', (seen) => isIn(seen, 2));
    const wrong = await telephone.dial('daily');
    for (const pin of ['1', '22', '4712']) {
      await wrong.waitForPrompt();
      await wrong.press(`${pin}#`);
    }
    const end = await watchUntil(
      'the end',
      () => Promise.resolve(wrong.end()),
      (how) => how !== undefined,
    );
    say(`wrong PIN three times: ${end}`);
    expect(end).toContain('CALL_REJECTED');

    await pool.api.patch(`/v1/rooms/${room.roomId}`, { maxParticipants: 2 });
    const dora = await openGuest('Dora', { video: false });
    const refused = async (): Promise<string | null> => {
      await dora.enter();
      return (await watchUntil('a refusal', dora.state, ({ state }) => state === 'failed')).cause;
    };
    expect(await refused()).toMatch(/^486 /);
    await pool.api.patch(`/v1/rooms/${room.roomId}`, { maxParticipants: 100 });
    await room.put('/lock', { locked: true });
    expect(await refused()).toMatch(/^403 /);
    const late = await telephone.dial('daily');
    await late.waitForPrompt();
    await late.press(`${PIN}#`);
    const lateEnd = await watchUntil(
      'the end',
      () => Promise.resolve(late.end()),
      (how) => how !== undefined,
    );
    expect(lateEnd).toContain('CALL_REJECTED');
    await room.put('/lock', { locked: false });
    await seeSoon('Dora, now that it is open', await enter(dora), (seen) => find(seen, 'Dora') !== undefined);
    expect(await refusals()).toEqual([
      ['Telephone', 'wrong_pin'],
      ['Dora', 'full'],
      ['Dora', 'locked'],
      ['Telephone', 'locked'],
    ]);
  }, 90_000);

  test('leaves nothing behind when everybody has gone', async () => {
    await Promise.all(open.map((guest) => guest.close()));
    await waitUntilEmpty(pool, stores);
    expect(await room.look()).toMatchObject({ session: null, items: [] });
  }, 60_000);
});
