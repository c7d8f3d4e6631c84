import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { encodeAmf } from '../../../../src/domains/relays/rtmp/amf';
import { writeChunks } from '../../../../src/domains/relays/rtmp/chunks';
import { SOURCE } from '../../../../src/domains/relays/rtmp/limits';
import { RtmpConnection, type RtmpConnectionHandlers } from '../../../../src/domains/relays/rtmp/connection';
import { until } from '../../../until';

const opened: { destroy(): void; close?(): void }[] = [];
afterEach(() => {
  for (const each of opened.splice(0)) each.destroy();
});

/** A peer of ours that serves, and the bare socket of whoever talks to it. */
async function openPeer(
  handlers: Partial<RtmpConnectionHandlers> = {},
): Promise<{ peer: RtmpConnection; other: Socket; closed: string[] }> {
  const closed: string[] = [];
  const accepted = new Promise<Socket>((resolve) => {
    const server = createServer(resolve).listen(0, '127.0.0.1', () => {
      const other = connect((server.address() as AddressInfo).port, '127.0.0.1');
      other.on('error', () => undefined);
      opened.push({ destroy: () => void (other.destroy(), server.close()) });
      others.push(other);
    });
  });
  const others: Socket[] = [];
  const peer = new RtmpConnection(
    await accepted,
    { side: 'server', limits: SOURCE },
    {
      onOpen: () => undefined,
      onCommand: () => undefined,
      onMedia: () => undefined,
      onClosed: (reason) => closed.push(reason),
      ...handlers,
    },
  );
  return { peer, other: others[0]!, closed };
}

const HANDSHAKE = Buffer.alloc(1 + 2 * 1536, 3);
const command = (...values: Parameters<typeof encodeAmf>[0]): Buffer =>
  writeChunks(3, { type: 20, streamId: 0, timestamp: 0, payload: encodeAmf(values) }, 128);
const ping = writeChunks(2, { type: 4, streamId: 0, timestamp: 0, payload: Buffer.from([0, 6, 0, 0, 0, 1]) }, 128);

test('the handshake is read in any pieces, and what follows in the same one as well', async () => {
  const names: string[] = [];
  const { other } = await openPeer({ onCommand: (name) => names.push(name) });
  for (let at = 0; at < 20; at += 1) other.write(HANDSHAKE.subarray(at, at + 1));
  other.write(Buffer.concat([HANDSHAKE.subarray(20), command('connect', 1)]));
  await until('the command is there', () => names.length > 0);
  expect(names).toEqual(['connect']);
});

test.each(['close', 'end'] as const)('nothing is read after %s, not even what came with the handshake', async (how) => {
  const names: string[] = [];
  const { peer, other, closed } = await openPeer({
    onOpen: () => (how === 'close' ? peer.close('enough') : peer.end(200)),
    onCommand: (name) => names.push(name),
  });
  other.resume();
  other.write(Buffer.concat([HANDSHAKE, command('connect', 1), command('publish', 2)]));
  other.write(command('connect', 1));
  await until('it is closed', () => closed.length > 0 && other.destroyed);
  expect([names, closed.length]).toEqual([[], 1]);
});

test('who pings and pings without reading is not answered any more', async () => {
  const { peer, other, closed } = await openPeer();
  other.pause();
  other.write(HANDSHAKE);
  await until('it is open', () => peer.isOpen);
  const video = { type: 9, streamId: 1, timestamp: 0, payload: Buffer.alloc(2 ** 20) };
  // More than the kernel keeps for both of them.
  await until('video waits', () => {
    peer.send(6, video);
    return peer.waitingBytes > 2 ** 21;
  });
  const { waitingBytes } = peer;
  const many = Buffer.concat(Array<Buffer>(20_000).fill(ping));
  other.write(many);
  await until('all was read', () => peer.receivedBytes === HANDSHAKE.length + many.length);
  expect(peer.waitingBytes).toBeLessThanOrEqual(waitingBytes);
  expect(closed).toEqual([]);
});

test('who pings and reads is answered', async () => {
  const { other } = await openPeer();
  let bytes = 0;
  other.on('data', (read: Buffer) => (bytes += read.length));
  other.write(Buffer.concat([HANDSHAKE, ping, ping]));
  await until('both answers are there', () => bytes === HANDSHAKE.length + 2 * ping.length);
});

test('who asks and asks without reading the answers is closed', async () => {
  const { peer, other, closed } = await openPeer({
    onCommand: (_name, transaction) => peer.answer('_result', transaction, [{ text: 'x'.repeat(500) }]),
  });
  other.pause();
  other.write(HANDSHAKE);
  const many = Buffer.concat(Array<Buffer>(1000).fill(command('createStream', 2)));
  await until('it is closed', () => {
    if (closed.length === 0) other.write(many);
    return closed.length > 0;
  });
  expect(closed).toEqual(['it does not read our answers']);
});

test('what is no RTMP is closed at the first byte, and a fault in it is named', async () => {
  const http = await openPeer();
  http.other.write('GET / HTTP/1.1\r\n\r\n');
  await until('it is closed', () => http.closed.length > 0);
  expect(http.closed).toEqual(['it does not speak RTMP']);

  const tiny = await openPeer();
  const size = writeChunks(2, { type: 1, streamId: 0, timestamp: 0, payload: Buffer.from([0, 0, 0, 1]) }, 128);
  tiny.other.write(Buffer.concat([HANDSHAKE, size]));
  await until('it is closed', () => tiny.closed.length > 0);
  expect(tiny.closed).toEqual(['it asks for chunks of 1 bytes: at least 128 are accepted']);
});
