/** Holds rooms to what people get when a real node dies, drains or freezes: they are back in the same room at once. */
import { randomBytes } from 'node:crypto';
import { waitFor } from '../../../scripts/api/client';
import { useStores } from '../../stores';
import { describeWithBrowser, startBrowserApp, type BrowserApp } from '../pages/browser';
import type { PhoneCall } from '../../../scripts/sip-phone/outgoing';
import { startPhone } from '../../../scripts/sip-phone/phone';
import { startRealPool, type PoolNode, type RealPool } from '../pool/real-pool';
import {
  isIn,
  startRoomApp,
  say,
  STEP_MS,
  waitUntilEmpty,
  watchUntil,
  type Guest,
  type RoomState,
  type RoomApp,
} from '../pool/room-pool';

const DOMAIN = 'failover.test';
const LAYOUT = '1up_top_left+5';
const BACK_MS = 5000;
/** Two heartbeats of the default period until it is noticed, and the time to come back. */
const FROZEN_BACK_MS = 4000 + BACK_MS;
/** Deadlines of drains are looked at once a second. */
const DRAINED_BACK_MS = 1000 + BACK_MS;

describeWithBrowser('rooms whose real node dies, drains or freezes', (freeswitch, chromium) => {
  let pool: RealPool;
  let browsers: BrowserApp;
  let room: RoomApp;
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
    await pool.api.post('/v1/users', { domain: DOMAIN, username: '1001', password, displayName: 'Telephone' });
    const video = { width: 640, height: 360, fps: 10, maxKbps: 500 };
    room = await startRoomApp(pool, browsers, DOMAIN, { name: 'daily', video, musicWhileAlone: false });
    const people = [{ role: 'moderator' }, { identity: 'ben' }, {}];
    guests = await Promise.all(people.map((grant, i) => room.openGuest(['Ann', 'Ben', 'Cid'][i]!, { grant })));
    await Promise.all(guests.map((guest) => guest.enter()));
    const { roomState } = await room.see('three guests', (seen) => isIn(seen, 3));
    const ben = personOf(roomState, guests[1]!);
    await pool.api.patch(`/v1/rooms/${room.roomId}/participants/${ben.id}`, { muted: true });
    await room.put('/layout', { layout: LAYOUT });
    await room.see('mute and layout', isAsDesired);
  }, 90_000);

  const personOf = ({ items }: RoomState, guest: Guest) => items.find(({ grantId }) => grantId === guest.grant.id)!;
  const password = randomBytes(12).toString('base64url');
  const nodeOf = ({ session }: RoomState): PoolNode => pool.nodes.find(({ name }) => name === session?.node)!;

  const areIn = (roomState: RoomState): boolean =>
    roomState.session?.state === 'live' && guests.every((guest) => personOf(roomState, guest)?.state === 'in');
  /** Everybody is there, Ben is muted and nobody else, and the video is divided as it was chosen. */
  function isAsDesired(roomState: RoomState): boolean {
    if (!areIn(roomState) || roomState.session?.layout.observed !== LAYOUT) return false;
    return guests.every((guest) => personOf(roomState, guest).observed.muted === (guest.name === 'Ben'));
  }

  interface NodeView {
    id: string;
    name: string;
    state: string;
  }
  const readNode = async (name: string): Promise<NodeView> =>
    (await pool.api.get<{ items: NodeView[] }>('/v1/nodes')).items.find((node) => node.name === name)!;
  const waitForNode = (name: string, state: string) =>
    watchUntil(
      `${name} to be ${state}`,
      () => readNode(name),
      (node) => node.state === state,
    );

  /** Waits until all are in the same meeting on another node, as they were; says how long each step took. */
  async function followMove(before: RoomState, fromMs: number, limitMs: number): Promise<RoomState> {
    const moved = (seen: RoomState): boolean => seen.session !== null && seen.session.node !== before.session!.node;
    await room.see('the room to move', moved).catch((fault: Error) => explain(fault));
    const movedMs = Date.now() - fromMs;
    await room.see('three guests back', (seen) => moved(seen) && areIn(seen)).catch((fault: Error) => explain(fault));
    const backMs = Date.now() - fromMs;
    const { roomState } = await room.see('mute and layout kept', isAsDesired).catch((fault: Error) => explain(fault));
    const keptMs = Date.now() - fromMs;
    await Promise.all(
      guests.map((guest) =>
        watchUntil('a video and sound', guest.received, (r) => r.framesDecoded > 0 && r.audioPackets > 10),
      ),
    );
    say(
      `room placed anew after ${movedMs} ms, all three in after ${backMs} ms, mute and layout seen after ${keptMs} ms, ` +
        `videos after ${Date.now() - fromMs} ms`,
    );
    for (const guest of guests) {
      const steps = (await guest.diary()).filter(({ atMs }) => atMs >= fromMs);
      const inRoomMs = Date.parse(personOf(roomState, guest).since!) - fromMs;
      const page = steps.map(({ what, atMs }) => `${what} ${atMs - fromMs}`).join(', ');
      say(`  ${guest.name}: ${page}; in the node's room ${inRoomMs}`);
    }
    expect(roomState.session!.meetingId).toBe(before.session!.meetingId);
    expect(roomState.items.map(({ id }) => id).sort()).toEqual(before.items.map(({ id }) => id).sort());
    expect(backMs).toBeLessThan(limitMs + (await room.measureLateness()));
    return roomState;
  }

  async function explain(fault: Error): Promise<never> {
    const pages = await Promise.all(guests.map(async (g) => [g.name, await g.state(), await g.diary()]));
    const nodes = await pool.api.get<object>('/v1/nodes');
    throw new Error(
      [fault.message, JSON.stringify(pages), JSON.stringify(nodes), ...pool.warnings.slice(-20)].join('\n'),
    );
  }

  /** A telephone can't be told to go elsewhere: its node sends it on, and it hears the others as before. */
  async function seeTelephoneBack(line: PhoneCall): Promise<void> {
    await room.see('the telephone back', (seen) => isIn(seen, 4)).catch((fault: Error) => explain(fault));
    const before = line.heard();
    await watchUntil(
      'the telephone to hear',
      () => Promise.resolve(line.heard()),
      (heard) => heard > before + 5,
    );
    expect(line.end()).toBeUndefined();
  }

  test.each([1, 2, 3])(
    'brings everybody back within five seconds when the node is killed (%d)',
    async () => {
      const node = nodeOf(await room.look());
      const { sipPort } = pool.nodes.find(({ name }) => name !== node.name)!;
      const telephone = await startPhone({
        username: '1001',
        password,
        domain: DOMAIN,
        nodePort: sipPort,
        sound: 'tone',
      });
      const line = await telephone.dial('daily');
      const { roomState: before } = await room.see('the telephone', (seen) => isIn(seen, 4));
      const killedMs = Date.now();
      node.process.kill('SIGKILL');
      await followMove(before, killedMs, BACK_MS);
      await seeTelephoneBack(line);
      await telephone.stop();
      await node.relaunch();
      await waitForNode(node.name, 'serving');
    },
    60_000,
  );

  test('moves everybody at the deadline of a drain; the recording goes on as part 2', async () => {
    const node = nodeOf(await room.look());
    const telephone = await startPhone({
      username: '1001',
      password,
      domain: DOMAIN,
      nodePort: node.sipPort,
      sound: 'tone',
    });
    const line = await telephone.dial('daily');
    const { roomState: before } = await room.see('the telephone', (seen) => isIn(seen, 4));
    const { id } = await pool.api.post<{ id: string }>(`/v1/rooms/${room.roomId}/recordings`);
    interface Recording {
      state: string;
      parts: { number: number; node: string; state: string; seconds: number | null; bytes: number }[];
      gaps: { reason: string; from: string; to: string | null }[];
    }
    const read = (): Promise<Recording> => pool.api.get<Recording>(`/v1/recordings/${id}`);
    await watchUntil('the recording', read, ({ parts }) => parts[0]?.state === 'recording' && parts[0].bytes > 0);
    const { id: nodeId } = await readNode(node.name);
    const deadlineSeconds = 2;
    await pool.api.post(`/v1/nodes/${nodeId}/drain`, { deadlineSeconds });
    const roomState = await followMove(before, Date.now() + deadlineSeconds * 1000, DRAINED_BACK_MS);
    const other = roomState.session!.node;
    await seeTelephoneBack(line);
    await watchUntil('part 2', read, ({ parts }) => parts[1]?.state === 'recording' && parts[1].bytes > 0);
    await waitForNode(node.name, 'draining');
    await pool.api.post(`/v1/nodes/${nodeId}/resume`);
    await pool.api.post(`/v1/recordings/${id}/stop`);
    const done = await watchUntil('the recording to be complete', read, ({ state }) => state === 'completed');
    expect(done.parts.map((part) => [part.number, part.node, part.state])).toEqual([
      [1, node.name, 'stored'],
      [2, other, 'stored'],
    ]);
    expect(done.gaps).toMatchObject([{ reason: 'moved' }]);
    const [gap] = done.gaps;
    const gapMs = Date.parse(gap!.to!) - Date.parse(gap!.from);
    await telephone.stop();
    await room.see('the telephone gone', (seen) => isIn(seen, 3));
    say(`parts of ${done.parts.map(({ seconds }) => seconds).join(' and ')} s with a gap of ${gapMs} ms`);
  }, 90_000);

  test('notices a node that is frozen with its sockets open, and takes it back when it wakes up', async () => {
    const before = await room.look();
    const node = nodeOf(before);
    const frozenMs = Date.now();
    node.process.kill('SIGSTOP');
    const roomState = await followMove(before, frozenMs, FROZEN_BACK_MS);
    await waitForNode(node.name, 'down');
    node.process.kill('SIGCONT');
    await waitForNode(node.name, 'serving');
    const after = await room.see('nobody in two rooms', isAsDesired);
    expect(after.roomState.session!.id).toBe(roomState.session!.id);
    await watchUntil(
      'the twin to be over',
      () => pool.api.get<{ nodes: { name: string; sessions: number; rooms: number }[] }>('/v1/pool'),
      ({ nodes }) => nodes.some(({ name, sessions, rooms }) => name === node.name && sessions === 0 && rooms === 0),
    );
    for (const guest of guests) expect((await guest.state()).state).toBe('in');
  }, 90_000);

  test('leaves nothing behind when everybody has gone', async () => {
    await Promise.all(guests.map((guest) => guest.close()));
    await waitUntilEmpty(pool, stores);
    await waitFor('nobody in the room', room.look, ({ session, items }) => !session && items.length === 0, STEP_MS);
  }, 60_000);
});
