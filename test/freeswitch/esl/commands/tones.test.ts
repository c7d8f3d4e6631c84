/** Tones that a person wrote reach a node only as what was read of them, and never as more than a node can bear. */
import { playFile, playInRoom, readTones, renderedMs, playedMs, writeTones } from '../../../../src/freeswitch/esl';
import { createSeededRandom } from '../../../../src/infra/random';

const LEG = '0196f0a0-0000-7000-8000-000000000001';
const rewritten = (text: string): string => {
  const found = readTones(text);
  return 'fault' in found ? `! ${found.fault}` : writeTones(found.tones);
};
const faultOf = (text: string): string => {
  const found = readTones(text);
  return 'fault' in found ? found.fault : `read: ${JSON.stringify(found.tones)}`;
};

test.each([
  ['%(500,500,440)', '%(500,500,440)'],
  ['%(0500,0,00440.50,480)', '%(500,0,440.5,480)'],
  ['%(120,20,784)%(220,0,1047)', '%(120,20,784);%(220,0,1047)'],
  ['v=-20;%(120,20,784);%(220,0,1047)', 'v=-20;%(120,20,784);%(220,0,1047)'],
  ['l=3;%(100,100,440);%(300,0,880);loops=2', 'l=3;%(100,100,440);%(300,0,880);loops=2'],
  ['L=3;%(100,100,440);v=-30;%(1,0,440)', 'L=3;v=-7;%(100,100,440);v=-30;%(1,0,440)'],
  ['d=100;w=50;1#', '%(100,50,697,1209);%(100,50,941,1477)'],
  ['5(80,20)', '%(80,20,770,1336)'],
  ['9', '%(250,62,859,1477)'],
  ['%(60000,0,440)', '%(60000,0,440)'],
  ['l=1000;%(30,30,440);loops=1000', 'l=1000;%(30,30,440);loops=1000'],
])('%s reaches a node as %s', (text, written) => {
  expect(rewritten(text)).toBe(written);
  expect(rewritten(written)).toBe(written);
});

test.each([
  ['', /must hold a tone/],
  ['%(1000000,0,440)', /must have on between 0 and 60000/],
  ['%(30000,30001,440)', /60 seconds long at most/],
  ['l=2;%(30001,0,440)', /60 seconds long at most/],
  ['L=61;%(1000,0,440)', /60 seconds long at most/],
  ['l=-1;%(1000,0,440)', /must say l as a whole number/],
  ['L=0;%(1000,0,440)', /must have L between 1 and 1000/],
  ['%(1000,0,440);loops=-1', /must say loops as a whole number/],
  ['%(1000,0,440);loops=1001', /must have loops between/],
  ['L=500;l=3;%(1,0,440)', /1000 tones at most/],
  ['%(0,0,440)', /without length/],
  ['%(-1,0,440)', /no tone/],
  ['%(100,0)', /on, off and a frequency/],
  ['%(100,0,0)', /a frequency between 1 and 20000/],
  ['%(100,0,1e5)', /no tone/],
  ['%(100,0,440,)', /a frequency between/],
  ['%(100,0,1,2,3,4,5,6,7,8,9)', /8 frequencies/],
  ['v=1;%(100,0,440)', /v between -63 and 0/],
  ['path=/etc/passwd', /path= is not known/],
  ['r=1;%(100,0,440)', /r= is not known/],
  ['c=99999;%(100,0,440)', /c= is not known/],
  ['LOOPS=5;%(100,0,440)', /LOOPS= is not known/],
  ['%(100,0,440);', /none at the end/],
  ['%(100,0,440) l=3', /no tone/],
  ['%(100,0,440', /no tone/],
  ['{loops=-1}%(1,0,440)', /no tone/],
  ['>=10;1', /no tone/],
  [`${'1;'.repeat(200)}1`, /256 characters/],
])('%s is refused, and it is said why', (text, why) => {
  expect(faultOf(text)).toMatch(why);
});

test('how long it takes is known before a node renders it', () => {
  const found = readTones('L=2;l=3;%(100,50,440);%(300,0,880);loops=10');
  if ('fault' in found) throw new Error(found.fault);
  expect(renderedMs(found.tones)).toBe(2 * (3 * 150 + 300));
  expect(playedMs(found.tones)).toBe(10 * 1500);
});

test('whatever is written is refused or short, and what reaches the node is read as the same', () => {
  const random = createSeededRandom(7);
  const pieces = [
    '%(',
    ')',
    ',',
    ';',
    'v=',
    'l=',
    'L=',
    'loops=',
    'path=',
    '-',
    '.',
    '0',
    '1',
    '9',
    '60000',
    '440',
    'A',
    '#',
    '$',
    '{',
    ' ',
  ];
  let taken = 0;
  for (let i = 0; i < 20_000; i += 1) {
    const grown = Array.from(
      { length: 1 + Math.floor(random() * 12) },
      () => pieces[Math.floor(random() * pieces.length)],
    );
    const text =
      random() < 0.5 ? grown.join('') : `l=${grown[0]};%(${i % 70_000},${grown.length},440);${grown.join('')}`;
    const found = readTones(text);
    if ('fault' in found) continue;
    taken += 1;
    const written = writeTones(found.tones);
    expect(written).toMatch(/^(L=\d+;)?((v=-?[\d.]+;)?(l=\d+;)?%\(\d+,\d+(,[\d.]+)+\);?)+(loops=\d+)?$/);
    expect(renderedMs(found.tones)).toBeLessThanOrEqual(60_000);
    if (written.length <= 256) expect(rewritten(written)).toBe(written); // keys of a telephone are longer when written out
  }
  expect(taken).toBeGreaterThan(100);
});

test('no command plays tones that were not read, nor anything else than a file', () => {
  expect(playFile(LEG, 'tone_stream://1').line).toBe(`uuid_broadcast ${LEG} tone_stream://%(250,62,697,1209) both`);
  expect(playInRoom('room', 'tone_stream://%(1,0,440)%(2,0,440)').line).toBe(
    'conference room play tone_stream://%(1,0,440);%(2,0,440)',
  );
  for (const source of [
    'tone_stream://path=/etc/passwd',
    'tone_stream://l=-1;%(1000,0,440)',
    '{loops=-1}tone_stream://%(1,0,440)',
    'silence_stream://-1',
    'http://127.0.0.1/x.wav',
    'say:flite|slt|hello',
    'hangup::x',
  ]) {
    expect(() => playFile(LEG, source)).toThrow(/Neither a file nor a tone|The tone/);
    expect(() => playInRoom('room', source, 1)).toThrow(/Neither a file nor a tone|The tone/);
  }
});
