import { connect, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { requireListening } from '../../../../src/domains/relays/listening';
import { openRtmpServer, type RtmpServer } from '../../../../src/domains/relays/rtmp/server';
import { publish, type Publisher } from '../../../../src/domains/relays/rtmp/publisher';
import { createUnnamed } from '../../../../src/domains/relays/rtmp/unnamed';
import { until } from '../../../until';

let intake: RtmpServer;
const sockets: Socket[] = [];
const open = async (o: { namingMs?: number } = {}): Promise<void> =>
  void (intake = await openRtmpServer('127.0.0.1', 0, o));
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await intake.stop();
});

async function call(): Promise<Socket> {
  const socket = connect(intake.port, '127.0.0.1');
  sockets.push(socket);
  socket.on('error', () => undefined);
  socket.resume();
  await new Promise<void>((resolve) => socket.once('connect', resolve));
  return socket;
}

async function bring(streamName: string): Promise<Publisher> {
  return publish({
    socket: await call(),
    app: 'relay',
    tcUrl: 'rtmp://door/relay',
    streamName,
    deadlineMs: 20_000,
    onClosed: () => undefined,
  });
}
const nobody = { onPublish: () => undefined, onMedia: () => undefined, onClosed: () => undefined };
const HANDSHAKE = Buffer.alloc(1 + 2 * 1536, 3);

test('a stream that is expected is taken once, one that is not is refused by name', async () => {
  await open();
  const media: number[] = [];
  intake.expect('a-secret-name', { ...nobody, onMedia: ({ payload }) => media.push(payload.length) });
  await expect(bring('another-name')).rejects.toThrow(/BadName/);
  const source = await bring('a-secret-name');
  source.send({ type: 9, streamId: 1, timestamp: 0, payload: Buffer.alloc(300_000) });
  await until('it is there', () => media[0] === 300_000);
  await expect(bring('a-secret-name')).rejects.toThrow(/BadName/);
});

test('who names no stream is closed when the time is over, whatever is said until then', async () => {
  await open({ namingMs: 300 });
  const [silent, chatty] = [await call(), await call()];
  chatty.write(HANDSHAKE);
  const timer = setInterval(() => chatty.write(Buffer.from([0xc2])), 50);
  await until('both are closed', () => silent.destroyed && chatty.destroyed);
  clearInterval(timer);
  expect(intake.refused).toBe(2);
});

test('who names no stream is not read for more than 16 KiB, and sends no sound', async () => {
  await open({ namingMs: 60_000 });
  const [long, loud] = [await call(), await call()];
  // Messages without content: nothing but headers.
  long.write(
    Buffer.concat([HANDSHAKE, Buffer.from([4, 0, 0, 0, 0, 0, 0, 18, 0, 0, 0, 0]), Buffer.alloc(16_384, 0xc4)]),
  );
  loud.write(Buffer.concat([HANDSHAKE, Buffer.from([4, 0, 0, 0, 0, 0, 1, 8, 0, 0, 0, 0, 7])]));
  await until('both are closed', () => long.destroyed && loud.destroyed);
});

test('one address has few connections that name nothing, and a node is still let in beside those of others', async () => {
  await open({ namingMs: 60_000 });
  const strangers = await Promise.all(Array.from({ length: 20 }, call));
  await until('four are closed', () => strangers.filter((socket) => socket.destroyed).length === 4);
  for (const socket of strangers) socket.destroy();
  intake.expect('a-secret-name', nobody);
  await until('a node is let in', () => bring('a-secret-name').catch(() => undefined));
});

test('where all places are taken, the oldest of whoever has most makes room', () => {
  const closed: string[] = [];
  const unnamed = createUnnamed({ perAddress: 3, inAll: 5 });
  const admit = (address: string, name: string) => unnamed.admit(address, () => closed.push(name));
  for (const name of ['a1', 'a2', 'a3']) expect(admit('1.1.1.1', name)).toBeDefined();
  expect(admit('1.1.1.1', 'a4')).toBeUndefined();
  admit('2.2.2.2', 'b1');
  const leave = admit('3.3.3.3', 'c1')!;
  admit('4.4.4.4', 'node')!();
  expect([closed, unnamed.count]).toEqual([['a1'], 4]);
  leave();
  leave();
  expect(unnamed.count).toBe(3);
});

test('whoever has an IPv6 network is one address, and IPv4 is the same in both notations', () => {
  const unnamed = createUnnamed({ perAddress: 2, inAll: 100 });
  const admit = (address: string): boolean => unnamed.admit(address, () => undefined) !== undefined;
  expect([admit('2a00::1:2:3:4'), admit('2a00:0:0:0:9::1'), admit('2a00:0:0:0::7'), admit('2a00:0:0:1::7')]).toEqual([
    true,
    true,
    false,
    true,
  ]);
  expect([admit('10.0.0.1'), admit('::ffff:10.0.0.1'), admit('::ffff:10.0.0.1')]).toEqual([true, true, false]);
});

test('it listens at the address it was given and at no other', async () => {
  await open();
  const others = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter((each) => each.family === 'IPv4' && !each.internal)
    .map(({ address }) => address);
  for (const host of ['127.0.0.2', ...others]) {
    const refused = await new Promise<string | undefined>((resolve) => {
      const socket = connect(intake.port, host, () => resolve(undefined));
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code));
      sockets.push(socket);
    });
    expect(refused).toBe('ECONNREFUSED');
  }
});

test('an address that is not of this machine, and a port that is taken, are said at the start', async () => {
  await open();
  await expect(requireListening({ host: '192.0.2.1', port: 0 })).rejects.toThrow(/set RELAY_LISTEN_HOST/);
  await expect(requireListening({ host: '127.0.0.1', port: intake.port })).rejects.toThrow(/set RELAY_PORT/);
  await requireListening({ host: '127.0.0.1', port: 0 });
});
