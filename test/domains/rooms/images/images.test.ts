/** Holds what is taken for an image, when a welcome is shown, and how long a node is left alone after a failure. */
import { crc32, deflateSync } from 'node:zlib';
import { isWelcome, pauseBeforeImage } from '../../../../src/domains/rooms/images/image-sync';
import { readImage } from '../../../../src/domains/rooms/images/images';
import { cleanPng } from '../../../../src/domains/rooms/images/png';
import { DEFAULT_SETTINGS } from '../../../../src/domains/rooms/settings';
import { fetchFile, hideBackground, showBackground } from '../../../../src/freeswitch/esl';
import { configurationXml, layoutsConfName } from '../../../../src/freeswitch/xml';

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, sum]);
}

interface Drawing {
  width?: number;
  height?: number;
  depth?: number;
  colour?: number;
  interlace?: number;
  /** In the place of the pixels that belong there. */
  pixels?: Buffer;
  extra?: Buffer[];
  /** Behind the pixels. */
  behind?: Buffer[];
  /** Behind the packed pixels, in the same chunk. */
  garbage?: Buffer;
}

function draw({
  width = 64,
  height = 32,
  depth = 8,
  colour = 2,
  interlace = 0,
  pixels,
  extra = [],
  behind = [],
  garbage = Buffer.alloc(0),
}: Drawing = {}): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([depth, colour, 0, 0, interlace], 8);
  const samples = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }[colour] ?? 1;
  const all = pixels ?? Buffer.alloc(height * (1 + Math.ceil((width * samples * depth) / 8)));
  return Buffer.concat([
    Buffer.from('89504e470d0a1a0a', 'hex'),
    chunk('IHDR', header),
    ...extra,
    chunk('IDAT', Buffer.concat([deflateSync(all), garbage])),
    ...behind,
    chunk('IEND', Buffer.alloc(0)),
  ]);
}
const palette = chunk('PLTE', Buffer.alloc(6));

test('a PNG tells its size, and whether it can be seen through', async () => {
  expect(await cleanPng(draw())).toMatchObject({ width: 64, height: 32, hasAlpha: false });
  expect(await cleanPng(draw({ colour: 6 }))).toMatchObject({ hasAlpha: true });
  expect(await cleanPng(draw({ colour: 3, depth: 2, extra: [palette] }))).toMatchObject({ hasAlpha: false });
  expect(await cleanPng(draw({ extra: [chunk('tRNS', Buffer.alloc(6))] }))).toMatchObject({ hasAlpha: true });
});

const text = chunk('tEXt', Buffer.from('Comment\0hello'));
const typesOf = (png: Buffer): string[] => {
  const types: string[] = [];
  for (let at = 8; at < png.length; at += 12 + png.readUInt32BE(at)) types.push(png.toString('latin1', at + 4, at + 8));
  return types;
};

test('nothing of the file but the image is kept, and a clean image is kept as it is', async () => {
  const clean = draw();
  expect((await cleanPng(clean)).bytes).toEqual(clean);
  const camera = draw({
    extra: [chunk('gAMA', Buffer.alloc(4)), chunk('iCCP', Buffer.alloc(100_000)), chunk('pHYs', Buffer.alloc(9)), text],
    behind: [chunk('eXIf', Buffer.alloc(50)), text],
    garbage: Buffer.from('<?php system("id")'),
  });
  expect((await cleanPng(camera)).bytes).toEqual(clean);
  const few = draw({ colour: 3, depth: 2, extra: [text, palette, chunk('tRNS', Buffer.from([9]))] });
  const { bytes } = await cleanPng(few);
  expect(typesOf(bytes)).toEqual(['IHDR', 'PLTE', 'tRNS', 'IDAT', 'IEND']);
  // A pixel of two bits names one of four colours: none that is not there.
  expect(bytes.readUInt32BE(8 + 25)).toBe(12);
  expect(await cleanPng(bytes)).toEqual({ width: 64, height: 32, hasAlpha: true, bytes });
});

test('an image whose pixels are in several chunks is one', async () => {
  const whole = draw();
  const idat = whole.indexOf('IDAT') - 4;
  const packed = whole.subarray(idat + 8, idat + 8 + whole.readUInt32BE(idat));
  const parts = [...packed].map((byte) => chunk('IDAT', Buffer.from([byte])));
  const cut = Buffer.concat([whole.subarray(0, idat), ...parts, whole.subarray(-12)]);
  expect((await cleanPng(cut)).bytes).toEqual(whole);
});

const flipped = (): Buffer => {
  const png = draw();
  png[40]! ^= 1;
  return png;
};

test.each<[string, Buffer, RegExp]>([
  ['something else', Buffer.from('GIF89a'), /signature/],
  ['one that was cut off', draw().subarray(0, 60), /no end|longer than/],
  ['one with a wrong bit', flipped(), /checksum/],
  ['one with something behind it', Buffer.concat([draw(), Buffer.from('<?php')]), /data after IEND/],
  ['one that is too small', draw({ width: 8 }), /8x32/],
  ['one that is too large', draw({ width: 2000, height: 20 }), /2000x20/],
  ['one of a colour that is none', draw({ colour: 5 }), /colour type/],
  ['one without its palette', draw({ colour: 3 }), /palette/],
  ['one that is interlaced', draw({ interlace: 1 }), /interlaced/],
  ['one with fewer pixels than it says', draw({ pixels: Buffer.alloc(10) }), /pixel data/],
  ['one that unpacks to far more than it says', draw({ pixels: Buffer.alloc(50_000_000) }), /pixel data/],
  ['one with two headers', draw({ extra: [draw().subarray(8, 33)] }), /IHDR twice/],
  ['one that begins with something else', Buffer.concat([draw().subarray(0, 8), text, draw().subarray(8)]), /header/],
  ['one with a palette of nothing', draw({ colour: 3, extra: [chunk('PLTE', Buffer.alloc(0))] }), /palette is none/],
  ['one with a palette of four bytes', draw({ colour: 3, extra: [chunk('PLTE', Buffer.alloc(4))] }), /palette is none/],
  ['one with 257 colours', draw({ colour: 3, extra: [chunk('PLTE', Buffer.alloc(771))] }), /palette is none/],
  [
    'one with 5 colours of 2 bits',
    draw({ colour: 3, depth: 2, extra: [chunk('PLTE', Buffer.alloc(15))] }),
    /more colours/,
  ],
  ['a grey one with a palette', draw({ colour: 0, extra: [palette] }), /grey/],
  ['one with two palettes', draw({ colour: 3, extra: [palette, palette] }), /PLTE twice/],
  ['one whose palette comes last', draw({ colour: 3, behind: [palette] }), /behind its pixels/],
  ['one with a transparency of its own', draw({ extra: [chunk('tRNS', Buffer.alloc(5))] }), /transparency/],
  ['one with alpha and transparency', draw({ colour: 6, extra: [chunk('tRNS', Buffer.alloc(6))] }), /transparency/],
  ['one with a critical chunk of nobody', draw({ extra: [chunk('EVIL', Buffer.alloc(5))] }), /no reader may skip/],
  ['one with a chunk that has no name', draw({ extra: [chunk('a\0b!', Buffer.alloc(5))] }), /no reader may skip/],
  ['one with pixels in two places', draw({ behind: [text, chunk('IDAT', Buffer.alloc(5))] }), /not in one place/],
  ['one with very many chunks', draw({ extra: Array<Buffer>(5000).fill(text) }), /too many chunks/],
  ['one with a filter that is none', draw({ pixels: Buffer.alloc(32 * (1 + 64 * 3), 9) }), /packed in a way/],
])('%s is no image of a room', async (_what, bytes, why) => {
  await expect(cleanPng(bytes)).rejects.toThrow(why);
});

test('a background can not be seen through, a welcome can; a JPEG is neither', async () => {
  const clear = draw({ colour: 6 });
  await expect(readImage('background', 'image/png', clear)).rejects.toThrow(/transparent/);
  expect(await readImage('welcome', 'image/png', clear)).toMatchObject({ width: 64, height: 32 });
  await expect(readImage('welcome', 'image/jpeg', clear)).rejects.toThrow(/PNG only/);
});

const settings = { ...DEFAULT_SETTINGS, waitForModerator: true };
const here = (role: 'moderator' | 'participant', state: 'in' | 'left' = 'in') => ({ role, state });

test('the welcome is shown to who is alone, and to all who wait for a moderator', () => {
  expect(isWelcome(DEFAULT_SETTINGS, [here('participant'), here('participant', 'left')])).toBe(true);
  expect(isWelcome(DEFAULT_SETTINGS, [here('participant'), here('participant')])).toBe(false);
  expect(isWelcome(settings, [here('participant'), here('participant')])).toBe(true);
  expect(isWelcome(settings, [here('participant'), here('moderator', 'left'), here('participant')])).toBe(true);
  expect(isWelcome(settings, [here('participant'), here('moderator')])).toBe(false);
});

test('a node that could not fetch is asked again after longer and longer', () => {
  expect([1, 2, 3, 4].map(pauseBeforeImage)).toEqual([2000, 4000, 8000, 16_000]);
});

const SESSION = '01a1ff38-fb64-7002-87bd-3a1b4fb3fcb5';

test('commands for images hold paths and addresses of ours, and nothing else', () => {
  expect(showBackground(SESSION, '/tmp/a.png').line).toBe(`conference ${SESSION} vid-bgimg /tmp/a.png`);
  expect(hideBackground(SESSION, '/tmp/a.png').map(({ line }) => line)).toEqual([
    `conference ${SESSION} vid-bgimg /tmp/a.png.none`,
    `conference ${SESSION} vid-bgimg clear`,
  ]);
  const url = 'http://10.0.0.1:8080/freeswitch/images/x?token=a.b-c_d';
  expect(fetchFile('wget', url, '/tmp/a', 10).line).toBe(`spawn_stream wget -q -T 10 -O /tmp/a ${url}`);
  expect(() => showBackground(SESSION, '/tmp/a b.png')).toThrow();
  expect(() => fetchFile('curl', 'http://h/ -o /etc/passwd', '/tmp/a', 10)).toThrow();
});

test('layouts bring the image behind them along where the room has one', () => {
  const node = {} as never;
  const name = layoutsConfName(SESSION);
  expect(configurationXml(name, node, { profile: {} })).not.toContain('bgimg');
  const xml = configurationXml(name, node, { profile: {}, images: { sessionId: SESSION, hasBackground: true } })!;
  expect(xml.match(/bgimg="\$\$\{temp_dir\}\/room-[0-9a-f-]{36}-background\.png"/g)).toHaveLength(
    xml.match(/<layout name/g)!.length - 1,
  );
});
