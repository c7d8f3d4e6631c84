/** However people write a number, it is one inside; what is no number stays none. */
import fc from 'fast-check';
import { readNationalNumber, readTelephoneNumber } from '../../../src/infra/text/telephone-number';

test.each([
  ['+493012345'],
  ['+49 30 12345'],
  ['+49 (0)30 12345'],
  ['+49 (30) 12345'],
  ['+49-30-123-45'],
  ['+49/30/12345'],
  ['+49.30.12345'],
  ['+49\u00a030\u202f12345'],
  ['\u202a+493012345'],
  ['+49\u201330\u201312345'],
  ['\uff0b\uff14\uff193012345'],
  ['tel:+49-30-12345'],
  ['TEL:+493012345'],
  ['  +49 30 12345 '],
])('%j is +493012345', (text) => {
  expect(readTelephoneNumber(text)).toBe('+493012345');
});

test.each([
  ['1001', '1001'],
  ['10 01', '1001'],
  ['(030) 123-45', '03012345'],
  ['tel:4711', '4711'],
  ['+39 06 1234 5678', '+390612345678'],
  ['+33 (0)1 42 68 53 00', '+33142685300'],
  ['+1 202-555-0100', '+12025550100'],
  ['+15550100', '+15550100'],
])('%j is %s', (text, number) => {
  expect(readTelephoneNumber(text)).toBe(number);
});

test.each([
  '',
  '+',
  'bert',
  '+49abc',
  '1800FLOWERS',
  '+0123',
  '+49 30 12345 ext. 7',
  '+12',
  '1'.repeat(33),
  '+49;30',
  '++49301',
])('%j is no number', (text) => {
  expect(readTelephoneNumber(text)).toBeUndefined();
});

test.each([
  ['030 12345', 'DE', '+493012345'],
  ['0049 30 12345', 'DE', '+493012345'],
  ['(202) 555-0100', 'US', '+12025550100'],
  ['011 49 30 12345', 'US', '+493012345'],
  ['06 1234 5678', 'IT', '+390612345678'],
] as const)('%j dialled in %s is %s', (text, country, number) => {
  expect(readNationalNumber(text, country)).toBe(number);
});

test.each([['4711'], ['1001'], ['112'], ['9196'], ['bert'], ['+493012345']])(
  '%j is no national number of DE: an extension stays one',
  (text) => {
    expect(readNationalNumber(text, 'DE')).toBeUndefined();
  },
);

test('a number that was read is read as the same', () => {
  const text = fc.string({ unit: fc.constantFrom(...'+0123456789 -()./'), maxLength: 30 });
  fc.assert(
    fc.property(text, (typed) => {
      const number = readTelephoneNumber(typed);
      if (number !== undefined) expect(readTelephoneNumber(number)).toBe(number);
      const national = readNationalNumber(typed, 'DE');
      if (national !== undefined) expect(readTelephoneNumber(national)).toBe(national);
    }),
    { numRuns: 20_000 },
  );
});
