import { createHash } from 'node:crypto';
import { proofMark, provesPassword } from '../../../src/freeswitch/xml';
import { readNodeForm } from '../../../src/http/nodes/form';
import { readLoginProof } from '../../../src/freeswitch/xml/login-proof';

// RFC 2617, 3.5: the one example everybody has.
const HA1 = createHash('md5').update('Mufasa:testrealm@host.com:Circle Of Life').digest('hex');
const FIELDS = {
  sip_auth_method: 'GET',
  sip_auth_uri: '/dir/index.html',
  sip_auth_nonce: 'dcd98b7102dd2f0e8b11d0f600bfb0c093',
  sip_auth_nc: '00000001',
  sip_auth_cnonce: '0a4f113b',
  sip_auth_qop: 'auth',
  sip_auth_response: '6629fae49393a05397450978507c4ef1',
};
const proves = (fields: Record<string, string | undefined>): boolean => provesPassword(readLoginProof(fields)!, HA1);

test('knows the example of RFC 2617, in either case', () => {
  expect(proves(FIELDS)).toBe(true);
  expect(proves({ ...FIELDS, sip_auth_response: FIELDS.sip_auth_response.toUpperCase() })).toBe(true);
});

test.each(Object.keys(FIELDS))('another %s proves nothing', (name) => {
  expect(proves({ ...FIELDS, [name]: '00000000000000000000000000000002' })).toBe(false);
});

test('a response is a try, whatever else is missing; without one nothing was tried', () => {
  expect(readLoginProof({ sip_auth_response: 'x' })).toBeDefined();
  expect(readLoginProof({ ...FIELDS, sip_auth_response: '' })).toBeUndefined();
  expect(readLoginProof({})).toBeUndefined();
});

test.each(['\u0000', '\ud83d\ude00', '%', '\ufffd', '#'.repeat(5000)])('a hostile URI throws nothing', (uri) => {
  expect(proves({ ...FIELDS, sip_auth_uri: uri })).toBe(false);
});

test('the same try has one mark, another has another', () => {
  const mark = (fields: object) => proofMark(readLoginProof({ ...FIELDS, ...fields })!);
  expect(mark({})).toBe(mark({ sip_auth_cnonce: 'x' }));
  expect(mark({ sip_auth_response: 'x' })).not.toBe(mark({}));
  expect(mark({ sip_auth_nonce: 'x' })).not.toBe(mark({}));
});

/** As switch_url_encode has it: what is escaped already it leaves alone. */
const asNodesEscape = (text: string): string =>
  text.replace(/%(?![0-9A-F]{2})|[\r\n #&+:;<=>?@[\\\]^`{|}"]/g, (character) => encodeURIComponent(character));

test.each([
  'sip:1001@beta.test',
  'sip:1001%40beta.test@beta.test',
  'sip:9196%2A@beta.test:5060;transport=udp',
  'sip:9196%2a@beta.test',
  'sip:a%21b@beta.test',
  'sip:%2B49%3A1%2b2:3@[2001:db8::1]:5060',
  'sip:a%252Ab@beta.test',
  'sip:a%3Bb%3Bc;d=e:g%40i@beta.test',
])('%s: the right password is right, and a wrong one is wrong', (uri) => {
  const digest = createHash('md5').update(`INVITE:${uri}`).digest('hex');
  const of = (ha1: string) => createHash('md5').update(`${ha1}:nonce:${digest}`).digest('hex');
  const read = (ha1: string) =>
    readNodeForm(
      `hostname=a&section=directory&sip_auth_method=INVITE&sip_auth_nonce=nonce&sip_auth_uri=${asNodesEscape(uri)}&sip_auth_response=${of(ha1)}`,
    );
  expect(proves(read(HA1))).toBe(true);
  expect(proves(read(HA1.replace(/./, 'x')))).toBe(false);
});

test('a URI of nothing but doubtful characters takes no longer than others', () => {
  const beganMs = performance.now();
  expect(proves({ ...FIELDS, sip_auth_uri: 'sip:a', 'sip_auth_uri as sent': `sip%3A${'%3B'.repeat(300)}%40a` })).toBe(
    false,
  );
  expect(performance.now() - beganMs).toBeLessThan(200);
});
