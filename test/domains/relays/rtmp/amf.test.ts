import { decodeAmf, encodeAmf, type AmfValue } from '../../../../src/domains/relays/rtmp/amf';

test('what is written is read again', () => {
  const values: AmfValue[] = ['connect', 1, { app: 'live', isLive: true, list: [1, 'two', null] }, null, false];
  expect(decodeAmf(encodeAmf(values))).toEqual(values);
});

test('a name that JavaScript knows is only a name', () => {
  const hostile = Buffer.concat([
    Buffer.from([3, 0, 9]),
    Buffer.from('__proto__'),
    encodeAmf([{ admin: true }]),
    Buffer.from([0, 0, 9]),
  ]);
  const [read] = decodeAmf(hostile) as [object];
  expect(Object.keys(read)).toEqual(['__proto__']);
  expect(({} as { admin?: boolean }).admin).toBeUndefined();
});

const strictArray = (count: number, content: Buffer): Buffer => {
  const head = Buffer.from([10, 0, 0, 0, 0]);
  head.writeUInt32BE(count, 1);
  return Buffer.concat([head, content]);
};

test('nesting, and the number of values, are bounded', () => {
  let deep: AmfValue = 1;
  for (let i = 0; i < 8; i += 1) deep = [deep];
  expect(decodeAmf(encodeAmf([deep]))).toEqual([deep]);
  expect(() => decodeAmf(encodeAmf([[deep]]))).toThrow(/holds too much/);
  expect(decodeAmf(Buffer.alloc(1000, 5))).toHaveLength(1000);
  expect(() => decodeAmf(Buffer.alloc(1001, 5))).toThrow(/holds too much/);
  expect(() => decodeAmf(strictArray(0xffffffff, Buffer.alloc(1024 * 1024, 5)))).toThrow(/holds too much/);
});

test.each([
  ['a text', Buffer.from([2, 0xff, 0xff, 65])],
  ['a long text', Buffer.from([12, 0xff, 0xff, 0xff, 0xff, 65])],
  ['a number', Buffer.from([0, 1, 2])],
  ['an object', Buffer.from([3, 0, 1, 65])],
  ['a list', strictArray(5, Buffer.from([5]))],
  ['a type that no command has', Buffer.from([17])],
])('%s that ends too early or is none is refused', (_what, bytes) => {
  expect(() => decodeAmf(bytes)).toThrow();
});
