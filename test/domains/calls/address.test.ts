/** Holds how the ends of a call are written. */
import { formatAddress, parseAddress } from '../../../src/domains/calls/address';

test.each([
  ['user:1001', 'user:1001'],
  ['1001', 'user:1001'],
  ['dr.house', 'user:dr.house'],
  ['9196', '9196'],
  ['room:daily', 'room:daily'],
  ['tel:+49301234567', 'tel:+49301234567'],
  ['+49301234567', 'tel:+49301234567'],
  ['sip:bob@example.org', 'sip:bob@example.org'],
])('%s is read as %s', (text, canonical) => {
  expect(formatAddress(parseAddress(text))).toBe(canonical);
});

test.each([
  'user:',
  'user:a b',
  'user:a@b',
  'user:${system(touch x)}',
  'tel:+49 30',
  'sip:bob@example.org,sofia/internal/x',
  'sip:{a=b}bob@example.org',
  'mailto:x',
  '10|01',
  '1001\n',
  '',
])('%j is refused with a code', (text) => {
  expect(() => parseAddress(text)).toThrow(expect.objectContaining({ code: 'invalid_address' }));
});
