import { createId } from '../../../src/infra/ids';
import { KEY, useRelays, type Relay } from './use-relays';
import { openRtmpTarget } from './rtmp-target';
import { until } from '../../until';

const here = useRelays();
const { addNode, addRoom, openSession, endSession, ask, create, read, relayIs, events, types } = here;

test('a relay of a live room is live when the target has what the node sends', async () => {
  const room = await addRoom();
  const session = await openSession(room);
  const made = await create(room, { name: 'the stage' });
  expect(made).toMatchObject({ state: 'waiting', desired: 'live', restarts: 0, maxRestarts: 20, name: 'the stage' });
  const live = await relayIs(made.id, 'live');
  expect(live).toMatchObject({ sessionId: session, node: 'node-1', gaps: [], lastFault: null });
  expect(here.target.published).toEqual([`live/${KEY}`]);
  await until('bytes are counted', async () => (await read(made.id)).bytesSent > 100_000);
  await until('the target has them', () => here.target.mediaBytes > 100_000);
  expect(await types(made.id)).toEqual(['relay.created', 'relay.checking', 'relay.starting', 'relay.live']);

  await ask('post', '/v1/relays/{id}/stop', { id: made.id });
  await relayIs(made.id, 'stopped');
  expect(here.node.streams.size).toBe(0);
  expect(here.node.lines.map((line) => line.split(' ')[3])).toEqual(['start', 'stop']);
  expect((await types(made.id)).slice(-2)).toEqual(['relay.stopping', 'relay.stopped']);
  const again = await ask('delete', '/v1/relays/{id}', { id: made.id });
  expect(again.state).toBe('stopped');
});

test('the stream key is in no answer, event, log line, command, fault or column', async () => {
  const room = await addRoom();
  await openSession(room);
  const made = await create(room, { maxRestarts: 0 });
  await relayIs(made.id, 'live');
  here.target.refuses = true;
  here.target.hangUp();
  await relayIs(made.id, 'failed');
  const apart = await create(room, {
    streamKey: undefined,
    url: `rtmp://127.0.0.1:${here.target.port}/live/${KEY}`,
    maxRestarts: 0,
  });
  const failed = await relayIs(apart.id, 'failed');
  expect(failed.lastFault).toMatch(/refused the stream/); // the target's own words held the key
  const rows: unknown = await here.stores.db('relays').select();
  const seen = [
    await read(made.id),
    failed,
    await events(made.id),
    await events(apart.id),
    here.lines,
    here.node.lines,
    rows,
  ];
  expect(JSON.stringify(seen)).not.toContain(KEY);
  expect(JSON.stringify(seen)).not.toContain('very-secret');
});

test('a target that dies is tried again until it is back, and the gap is told', async () => {
  const room = await addRoom();
  await openSession(room);
  const { id } = await create(room);
  await relayIs(id, 'live');
  await until('it flows', async () => (await read(id)).bytesSent > 0);
  const { port } = here.target;
  await here.target.stop();
  const down = await until('it is seen to be down', async () => {
    const relay = await read(id);
    return relay.restarts > 0 ? relay : undefined;
  });
  expect(down.lastFault).toMatch(/target/);
  expect(down.gaps).toHaveLength(1);
  expect(down.gaps[0]!.to).toBeNull();
  await until('it was tried in vain', async () => (await read(id)).restarts >= 2);
  here.target = await openRtmpTarget(port);
  const back = await relayIs(id, 'live');
  expect(back.gaps).toHaveLength(1);
  expect(Date.parse(back.gaps[0]!.to!)).toBeGreaterThan(Date.parse(back.gaps[0]!.from));
  expect(back.gapSeconds).toBeGreaterThan(1);
  expect(back.restarts).toBeGreaterThanOrEqual(2);
  const live = (await events(id)).filter((event) => event.type === 'relay.live').at(-1)!;
  expect(live.data.gap).toEqual(back.gaps[0]);
});

test('a target that accepts and stops reading is found out, and the node is not held up', async () => {
  const room = await addRoom();
  await openSession(room);
  const { id } = await create(room);
  await relayIs(id, 'live');
  const frozenAt = Date.now();
  here.target.freeze();
  const [stream] = [...here.node.streams.values()];
  let mostWaiting = 0;
  const timer = setInterval(() => (mostWaiting = Math.max(mostWaiting, stream!.waitingBytes)), 100);
  const stalled = await until(
    'it is found out',
    async () => (await events(id)).find((event) => event.type === 'relay.restarting'),
    120_000,
  );
  clearInterval(timer);
  expect(stalled.data.reason).toBe('the target has stopped reading');
  // Six seconds on a quiet machine (five without progress, and a look each second); a kernel would tell after minutes.
  expect(Date.parse(stalled.at) - frozenAt).toBeLessThan(90_000);
  expect(mostWaiting).toBeLessThan(300_000); // what the node sends is taken from it all the time
  await until('it is live again', async () => (await types(id)).filter((type) => type === 'relay.live').length > 1);
});

test('a relay that can not be brought about fails after as many restarts as it may have', async () => {
  const room = await addRoom();
  await openSession(room);
  here.target.refuses = true;
  const { id } = await create(room, { maxRestarts: 1 });
  const failed = await relayIs(id, 'failed');
  expect(failed).toMatchObject({ restarts: 1, desired: 'stopped', liveSince: null });
  expect(failed.endedAt).not.toBeNull();
  expect((await events(id)).at(-1)).toMatchObject({ type: 'relay.failed', data: { maxRestarts: 1 } });
  expect(here.node.lines).toEqual([]); // the node was never bothered
});

test('a room that is not live is waited for, its end is no gap, and its next meeting is sent again', async () => {
  const room = await addRoom();
  const { id } = await create(room);
  await here.relays.sweep();
  expect((await read(id)).state).toBe('waiting');
  expect(here.node.lines).toEqual([]);
  const first = await openSession(room);
  await relayIs(id, 'live');
  here.node.endStreams();
  await endSession(first, 'empty');
  expect(await relayIs(id, 'waiting')).toMatchObject({ gaps: [], restarts: 0 });
  const second = await openSession(room, { epoch: 2 });
  expect(await relayIs(id, 'live')).toMatchObject({ sessionId: second, gaps: [], restarts: 0 });
});

test('a room that moves takes its relay with it, and the gap is told', async () => {
  const room = await addRoom();
  const first = await openSession(room);
  const { id } = await create(room);
  await relayIs(id, 'live');
  await until('it flows', async () => (await read(id)).bytesSent > 0);
  await endSession(first, 'moved');
  await relayIs(id, 'waiting');
  const other = await addNode('node-2');
  const second = await openSession(room, { epoch: 2, meetingId: first, on: other });
  const moved = await relayIs(id, 'live');
  expect(moved).toMatchObject({ sessionId: second, node: 'node-2', restarts: 0 });
  expect(moved.gaps).toEqual([
    expect.objectContaining({ reason: 'the session ended (moved)', to: expect.any(String) }),
  ]);
});

test('a node that answers +OK and sends nothing does not make a relay live', async () => {
  const room = await addRoom();
  await openSession(room);
  here.node.sends = false;
  const { id } = await create(room);
  await relayIs(id, 'starting');
  await ask('post', '/v1/relays/{id}/stop', { id });
  await relayIs(id, 'stopped');
  expect(await types(id)).not.toContain('relay.live');
});

test('several relays of one room go on beside each other, and one that fails takes no other with it', async () => {
  const room = await addRoom();
  await openSession(room);
  const second = await openRtmpTarget();
  const one = await create(room);
  const two = await create(room, { url: `rtmp://127.0.0.1:${second.port}/other`, streamKey: 'another' });
  await Promise.all([relayIs(one.id, 'live'), relayIs(two.id, 'live')]);
  await second.stop();
  await until('it is tried again', async () => (await types(two.id)).includes('relay.restarting'));
  const before = here.target.mediaBytes;
  await until('the first goes on', () => here.target.mediaBytes > before + 50_000);
  expect(await read(one.id)).toMatchObject({ state: 'live', restarts: 0 });
});

test('a relay whose replica dies is taken over by another, and by one only', async () => {
  const room = await addRoom();
  await openSession(room);
  const { id } = await create(room);
  await relayIs(id, 'live');
  const other = await here.openRelays();
  try {
    await other.sweep();
    expect(here.target.published).toHaveLength(1);
    await here.relays.stop();
    await until('it is published again', () => here.target.published.length === 2);
    const back = await relayIs(id, 'live');
    expect(back).toMatchObject({ restarts: 0 });
    expect(back.gaps).toHaveLength(1);
  } finally {
    await other.stop();
    await here.reopen();
  }
});

test('relays are listed by room, state and page, and another domain sees none of them', async () => {
  const [room, other] = [await addRoom(), await addRoom()];
  const made = [await create(room), await create(room), await create(other)];
  const list = (query: Record<string, string>, seesDomain?: string) =>
    ask<{ items: Relay[]; nextCursor: string | null }>('get', '/v1/relays', { query, seesDomain });
  expect((await list({ roomId: room })).items.map((r) => r.id)).toEqual([made[1]!.id, made[0]!.id]);
  expect((await list({ state: 'live' })).items).toEqual([]);
  const page = await list({ limit: '2' });
  expect((await list({ limit: '2', cursor: page.nextCursor! })).items.map((r) => r.id)).toEqual([made[0]!.id]);
  const stranger = createId();
  expect((await list({}, stranger)).items).toEqual([]);
  const o = { id: made[0]!.id, seesDomain: stranger };
  for (const [method, path] of [
    ['get', ''],
    ['delete', ''],
    ['post', '/stop'],
  ] as const) {
    await expect(ask(method, `/v1/relays/{id}${path}`, o)).rejects.toThrow(
      expect.objectContaining({ code: 'not_found' }),
    );
  }
  await expect(
    ask('post', '/v1/rooms/{id}/relays', {
      id: room,
      seesDomain: stranger,
      body: { url: 'rtmp://a.example.com/l', streamKey: 'k' },
    }),
  ).rejects.toThrow(expect.objectContaining({ code: 'not_found' }));
});
