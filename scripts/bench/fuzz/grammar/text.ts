/** Text that means something to one of our readers: XML, dial strings, expansions, command lines, SIP, SQL, JSON. */
import * as fc from 'fast-check';

/** Pieces that a reader acts on, alone or beside each other. */
const ACTIVE: readonly string[] = [
  ...'$ { } [ ] < > ( ) " \' \\ ` | , ; : = & ^ % # @ / ! ? * ~ + -'.split(' '),
  ' ',
  '${',
  '$${',
  '\\${',
  '\\$',
  '${system(touch x)}',
  '${sip_from_user}',
  '$${base_dir}',
  '${${x}}',
  '${a:1}',
  '${expr(1)}',
  '^^',
  '^^:',
  '^^|',
  ':_:',
  ':_',
  '_:',
  '{a=b}',
  '[a=b]',
  '<a=b>',
  '[origination_uuid=1]',
  'origination_nested_vars=true',
  "{x='",
  '&echo()',
  'sofia/internal/x@y',
  'error/user_busy',
  '|user/1@a',
  ',user/1@a',
  'x-pre-process',
  'X-PRE-PROCESS',
  '<X-PRE-PROCESS cmd="exec" data="x"/>',
  '<!--',
  '-->',
  '<!--#exec ',
  '<?',
  '?>',
  '<![CDATA[',
  ']]>',
  '<!DOCTYPE a [<!ENTITY b "c">]>',
  '<include>',
  '</include>',
  '&amp;',
  '&lt;',
  '&#36;{x}',
  '&#x24;{x}',
  '&amp;#36;{x}',
  '&quot;',
  '&b;',
  '%24%7Bx%7D',
  '%0a',
  '%0d%0a',
  '%00',
  '%E9',
  '%',
  '%2',
  '%zz',
  '%25',
  '\\n',
  '\\r',
  '\\s',
  '\\t',
  '\\\\',
  "\\'",
  '\\"',
  '\\,',
  '\n',
  '\r',
  '\r\n',
  '\n\n',
  '\n\napi shutdown\n\n',
  '\t',
  '\u0000',
  '\u0007',
  '\u001b',
  '\u007f',
  '\u0085',
  '\u00a0',
  '\u2028',
  '\u2029',
  '\ufeff',
  '\ufffe',
  '\uffff',
  '\ufdd0',
  '\ud800',
  '\udc00',
  '😀',
  'é',
  'ß',
  '王',
  'שלום',
  '\u202e',
  '\uff04',
  '\uff5b',
  '\uff5d',
  '__proto__',
  'constructor',
  'toString',
  'null',
  'undefined',
  'true',
  '0',
  '-1',
  '1e309',
  '99999999999999999999',
  "' or 1=1 --",
  '../../etc/passwd',
  'say:hello',
  'say:',
  '#',
  'a',
  'b',
  '1001',
];

/** Short, of everything that is acted on. */
const hostileText: fc.Arbitrary<string> = fc
  .array(
    fc.oneof(
      { weight: 8, arbitrary: fc.constantFrom(...ACTIVE) },
      { weight: 2, arbitrary: fc.string({ unit: 'binary', maxLength: 4 }) },
      { weight: 1, arbitrary: fc.string({ unit: 'grapheme', maxLength: 6 }) },
    ),
    { maxLength: 10 },
  )
  .map((pieces) => pieces.join(''));

/** One piece very many times over. */
const longText: fc.Arbitrary<string> = fc
  .tuple(fc.constantFrom(...ACTIVE), fc.integer({ min: 20, max: 3000 }))
  .map(([piece, times]) => piece.repeat(times));

/** What people are called, which most readers take. */
export const plainText: fc.Arbitrary<string> = fc.constantFrom(
  '1001',
  'alice',
  'Zoë',
  "O'Hara",
  'Dr. House',
  'ward 3',
  'a_b-c.d',
  '+49301234',
  '王小明',
  '0198c0de-0000-7000-8000-000000000001',
);

/** Plain but for one place: what is only nearly right comes furthest. */
const nearlyPlain: fc.Arbitrary<string> = fc
  .tuple(plainText, fc.constantFrom(...ACTIVE), fc.nat({ max: 12 }))
  .map(([text, piece, at]) => `${text.slice(0, at)}${piece}${text.slice(at)}`);

export const anyText: fc.Arbitrary<string> = fc.oneof(
  { weight: 5, arbitrary: hostileText },
  { weight: 5, arbitrary: nearlyPlain },
  { weight: 2, arbitrary: plainText },
  { weight: 1, arbitrary: longText },
);

/** Places at which a stream of bytes is cut: network reads end anywhere. */
export const cuts: fc.Arbitrary<readonly number[]> = fc.array(fc.nat({ max: 999 }), { maxLength: 8 });

/** @param marks places in thousandths of the whole */
export function cutBytes(bytes: Buffer, marks: readonly number[]): Buffer[] {
  const places = [...new Set(marks.map((mark) => Math.floor((bytes.length * mark) / 1000)))].sort((a, b) => a - b);
  const ends = [...places, bytes.length];
  return ends.map((end, i) => bytes.subarray(i === 0 ? 0 : ends[i - 1], end)).filter((part) => part.length > 0);
}

export const cutEvery = (bytes: Buffer, size: number): Buffer[] =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));

/** Bytes that are changed here and there after they were written. */
export interface Damage {
  at: number;
  to: number;
  what: 'set' | 'flip' | 'cut' | 'insert' | 'repeat';
}

export const damages: fc.Arbitrary<readonly Damage[]> = fc.oneof(
  { weight: 3, arbitrary: fc.constant([]) },
  {
    weight: 2,
    arbitrary: fc.array(
      fc.record({
        at: fc.nat({ max: 999 }),
        to: fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.nat({ max: 255 })),
        what: fc.constantFrom('set' as const, 'flip' as const, 'cut' as const, 'insert' as const, 'repeat' as const),
      }),
      { minLength: 1, maxLength: 4 },
    ),
  },
);

export function damage(bytes: Buffer, list: readonly Damage[]): Buffer {
  let now = bytes;
  for (const { at, to, what } of list) {
    if (now.length === 0) break;
    const place = Math.min(now.length - 1, Math.floor((now.length * at) / 1000));
    if (what === 'cut') now = now.subarray(0, place);
    else if (what === 'insert') now = Buffer.concat([now.subarray(0, place), Buffer.from([to]), now.subarray(place)]);
    else if (what === 'repeat') now = Buffer.concat([now.subarray(0, place), now.subarray(place, place + 8), now]);
    else {
      now = Buffer.from(now);
      now[place] = what === 'set' ? to : now[place]! ^ (1 << (to & 7));
    }
  }
  return now;
}

/** Text as it stands in an address: half a surrogate pair can't. */
export const inUrl = (text: string): string =>
  encodeURIComponent(text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, '\ufffd'));
