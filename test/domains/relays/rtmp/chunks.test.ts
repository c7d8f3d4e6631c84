import { createSeededRandom } from '../../../../src/infra/random';
import { ChunkReader, writeChunks, type RtmpMessage } from '../../../../src/domains/relays/rtmp/chunks';
import { SOURCE, TARGET, UNNAMED } from '../../../../src/domains/relays/rtmp/limits';

/** A chunk that begins a message: all of its header, and as much of its content as is given. */
function begin(stream: number, type: number, length: number, content: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(12);
  head[0] = stream;
  head.writeUIntBE(length, 4, 3);
  head[7] = type;
  return Buffer.concat([head, content]);
}
/** A chunk that goes on with the message of its stream, or repeats its header for a new one. */
const goOn = (stream: number, content: Buffer): Buffer => Buffer.concat([Buffer.from([0xc0 | stream]), content]);
const setChunkSize = (size: number): Buffer => {
  const content = Buffer.alloc(4);
  content.writeUInt32BE(size);
  return begin(2, 1, 4, content);
};

function read(limits = SOURCE): { reader: ChunkReader; messages: RtmpMessage[] } {
  const messages: RtmpMessage[] = [];
  return { reader: new ChunkReader(limits, (message) => messages.push(message)), messages };
}
const push = (...parts: Buffer[]) => read().reader.push(Buffer.concat(parts));

/** Compared as text: one by one, bytes take long. */
const show = ({ payload, ...head }: RtmpMessage) => ({ ...head, payload: payload.toString('base64') });

test('messages are the same however they were cut, also byte by byte', () => {
  const random = createSeededRandom(7);
  const sent: RtmpMessage[] = Array.from({ length: 40 }, (_, i) => ({
    type: [8, 9, 18, 20][i % 4]!,
    streamId: i % 3,
    timestamp: i % 5 === 0 ? 0xffffff + i : i * 40,
    payload: Buffer.alloc(Math.floor(random() * (i % 7 === 0 ? 0 : 9000)), i),
  }));
  const wire = Buffer.concat([
    ...sent.slice(0, 20).map((message, i) => writeChunks(3 + (i % 4), message, 128)),
    setChunkSize(4096),
    ...sent.slice(20).map((message, i) => writeChunks(3 + (i % 4), message, 4096)),
  ]);
  for (const most of [1, 2, 100, 5000, wire.length]) {
    const { reader, messages } = read();
    for (let at = 0; at < wire.length;) {
      const take = most === 1 ? 1 : 1 + Math.floor(random() * most);
      reader.push(wire.subarray(at, at + take));
      at += take;
    }
    expect(messages.map(show)).toEqual(sent.map(show));
  }
});

test('messages of several streams that are cut into one another come out whole', () => {
  const { reader, messages } = read();
  const [a, b] = [Buffer.alloc(200, 1), Buffer.alloc(200, 2)];
  reader.push(begin(4, 8, 200, a.subarray(0, 128)));
  reader.push(begin(6, 9, 200, b.subarray(0, 128)));
  reader.push(goOn(4, a.subarray(128)));
  reader.push(goOn(6, b.subarray(128)));
  expect(messages.map(({ type, payload }) => [type, payload])).toEqual([
    [8, a],
    [9, b],
  ]);
});

test.each([0, 1, 127, 0x80000000, 0xffffffff])('chunks of %i bytes are refused, with the reason', (size) => {
  expect(() => push(setChunkSize(size))).toThrow(/chunks of \d+ bytes: at least 128 are accepted/);
});

test('chunks of 128 bytes and more are read; sizes that no message can have are the largest that it can', () => {
  for (const size of [128, 4096, 65_536, 0xffffff, 0x7fffffff]) {
    const { reader, messages } = read();
    const content = Buffer.alloc(300, 5);
    reader.push(setChunkSize(size));
    reader.push(writeChunks(4, { type: 8, streamId: 1, timestamp: 1, payload: content }, size));
    expect(messages.map(({ payload }) => payload)).toEqual([content]);
  }
});

test('more than eight chunk streams are refused', () => {
  const streams = Array.from({ length: 9 }, (_, i) => begin(3 + i, 20, 1, Buffer.from([5])));
  expect(() => push(...streams.slice(0, 8))).not.toThrow();
  expect(() => push(...streams)).toThrow(/more than 8 chunk streams/);
});

test.each([
  ['a command of a node', SOURCE, 20, 1024 * 1024],
  ['video of a node', SOURCE, 9, 4 * 1024 * 1024],
  ['a command of a target', TARGET, 20, 64 * 1024],
  ['a command of a stranger', UNNAMED, 20, 4096],
  ['sound of a stranger', UNNAMED, 8, 0],
  ['a control message', SOURCE, 4, 64],
])('%s is refused by its header when it is too long', (_what, limits, type, most) => {
  expect(() => read(limits).reader.push(begin(4, type, most))).not.toThrow();
  expect(() => read(limits).reader.push(begin(4, type, most + 1))).toThrow(/too long/);
});

test('what is begun and not finished has one budget for all streams', () => {
  const one = 1024 * 1024;
  const { reader } = read();
  for (let i = 0; i < 6; i += 1) reader.push(begin(3 + i, 20, one, Buffer.alloc(128)));
  expect(() => reader.push(begin(9, 20, one))).toThrow(/unfinished messages are too long/);
});

test('a message that is finished or given up makes room again', () => {
  const { reader } = read({ ...SOURCE, maxOpenBytes: 300 });
  for (let i = 0; i < 20; i += 1) {
    reader.push(begin(4, 20, 200, Buffer.alloc(128)));
    if (i % 2 === 0) reader.push(goOn(4, Buffer.alloc(72)));
    else reader.push(begin(2, 2, 4, Buffer.from([0, 0, 0, 4])));
  }
  expect(() => reader.push(Buffer.concat([begin(4, 20, 200, Buffer.alloc(128)), begin(5, 20, 200)]))).toThrow();
});

test('a message inside of another one on the same stream, and a stream without a beginning, are refused', () => {
  expect(() => push(begin(4, 20, 200, Buffer.alloc(128)), begin(4, 20, 50))).toThrow(/inside another/);
  expect(() => push(goOn(4, Buffer.alloc(10)))).toThrow(/does not speak RTMP/);
});

test('nothing is read any more once it is stopped, not even of what it was given already', () => {
  let count = 0;
  const reader: ChunkReader = new ChunkReader(SOURCE, () => {
    count += 1;
    reader.stop();
  });
  const one = begin(4, 20, 1, Buffer.from([5]));
  reader.push(Buffer.concat([one, one, one]));
  reader.push(one);
  expect(count).toBe(1);
});

/** What costs most of what is let in: messages of one byte, each with its header of one byte. */
const dense = (bytes: number): Buffer => {
  const all = Buffer.alloc(bytes, 5);
  for (let at = 0; at < bytes; at += 2) all[at] = 0xc4;
  return Buffer.concat([begin(4, 18, 1, Buffer.from([5])), all]);
};
/** In processor time, and the best of several: the machine has other things to do. */
function costPerByte(bytes: Buffer, cut: number): number {
  const times = Array.from({ length: 5 }, () => {
    const reader = new ChunkReader(SOURCE, () => undefined);
    const before = process.cpuUsage();
    for (let at = 0; at < bytes.length; at += cut) reader.push(bytes.subarray(at, at + cut));
    const { user, system } = process.cpuUsage(before);
    return user + system;
  });
  return Math.min(...times) / bytes.length;
}

test('a byte costs the same in 64 KiB and in 512 KiB, read at once and read byte by byte', () => {
  costPerByte(dense(2 ** 18), 2 ** 16); // the compiler has seen it
  for (const cut of [2 ** 24, 1]) {
    const few = costPerByte(dense(2 ** 16), cut);
    const many = costPerByte(dense(2 ** 19), cut);
    // 8 times as much: a parser that copies what it had takes 8 times as long for each byte.
    expect(many).toBeLessThan(4 * few);
  }
});

test('a byte of a long message costs the same however long the message is', () => {
  const long = (bytes: number): Buffer =>
    writeChunks(4, { type: 9, streamId: 1, timestamp: 0, payload: Buffer.alloc(bytes) }, 128);
  costPerByte(long(2 ** 20), 100);
  expect(costPerByte(long(2 ** 22), 100)).toBeLessThan(4 * costPerByte(long(2 ** 18), 100));
});
