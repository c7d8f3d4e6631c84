import { contactToDial, type ContactSource } from '../../../src/freeswitch/xml';
import { HOSTILE, hostileMixes } from './hostile';

const source: ContactSource = { networkIp: '203.0.113.9', networkPort: 40123, transport: 'udp' };
const dial = (contact: string, from: Partial<ContactSource> = {}): string | undefined =>
  contactToDial(contact, { ...source, ...from });
/** The path that leads back to where the REGISTER came from. */
const path = (user: string, end = '203.0.113.9:40123;transport=udp'): string =>
  `;fs_path=${encodeURIComponent(`sip:${user}@${end}`)}`;

test('dials a phone that is where it says as it says', () => {
  expect(dial('"Ada" <sip:1001@203.0.113.9:5062;line=x1;transport=udp>')).toBe(
    'sip:1001@203.0.113.9:5062;line=x1;transport=udp',
  );
  expect(dial('sip:1001@[2001:db8::1]:5060', { networkIp: '2001:db8::1' })).toBe('sip:1001@[2001:db8::1]:5060');
});

test('dials a phone at an IPv6 address in any spelling of it, and without the zone of its own interface', () => {
  const far = '[2001:db8::9]:40123;transport=udp';
  expect(dial('sip:1001@[2001:DB8:0::0001]:5060', { networkIp: '2001:db8::1' })).toBe(
    'sip:1001@[2001:DB8:0::0001]:5060',
  );
  expect(dial('sip:1001@[2001:db8::1]:5060', { networkIp: '[2001:DB8::1]' })).toBe('sip:1001@[2001:db8::1]:5060');
  expect(dial('sip:1001@[::ffff:203.0.113.9]:5062')).toBe('sip:1001@[::ffff:203.0.113.9]:5062');
  expect(dial('sip:1001@203.0.113.9:5062', { networkIp: '::ffff:203.0.113.9' })).toBe('sip:1001@203.0.113.9:5062');
  expect(dial('sip:1001@[fe80::5%eth0]:5060', { networkIp: '2001:db8::9' })).toBe(
    `sip:1001@[fe80::5]:5060${path('1001', far)}`,
  );
  expect(dial('sip:1001@[fe80::5%eth0;x]:5060', { networkIp: '2001:db8::9' })).toBeUndefined();
});

test('dials a phone behind a NAT, or on a second interface, where its REGISTER came from', () => {
  expect(dial('<sip:1001@192.168.1.5:5060;fs_nat=yes;fs_path=sip%3A1001%40203.0.113.9%3A40123>')).toBe(
    `sip:1001@192.168.1.5:5060;fs_nat=yes${path('1001')}`,
  );
  expect(dial('sip:1001@desk.local')).toBe(`sip:1001@desk.local${path('1001')}`);
  expect(dial('sip:1001@10.0.0.5', { networkIp: '2001:db8::9' })).toBe(
    `sip:1001@10.0.0.5${path('1001', '[2001:db8::9]:40123;transport=udp')}`,
  );
});

test('dials a browser by the socket it opened, also where it was wss', () => {
  const contact = '<sip:ab12@x.invalid;transport=ws;fs_nat=yes;fs_path=sip%3Aab12%40203.0.113.9%3A40123>';
  expect(dial(contact, { transport: 'wss' })).toBe(
    `sip:ab12@x.invalid;transport=ws;fs_nat=yes${path('ab12', '203.0.113.9:40123;transport=wss')}`,
  );
});

test.each([
  'sip:+19005551234@198.51.100.7:5060',
  'sip:x@203.0.113.9;fs_path=sip%3Ay%40198.51.100.7',
  'sip:x@203.0.113.9;FS_PATH=sip%3Ay%40198.51.100.7',
  'sip:x@203.0.113.9;maddr=198.51.100.7',
  'sip:x@203.0.113.9;received=198.51.100.7:5060',
  'sip:x@203.0.113.9;maddr=198.51.100.7;fs_path=sip%3Ay%40198.51.100.7;lr',
  'sip:x@198.51.100.7;fs_path=sip%3Ax%40203.0.113.9%3A40123;fs_path=sip%3Ay%40198.51.100.7',
])('sends no call elsewhere for a contact that leads there: %s', (contact) => {
  const dialled = dial(contact)!;
  const [, , route] = /^(sips?:[^;]+)(?:;(?!fs_path=)[^;]+)*(?:;fs_path=([^;]+))?$/.exec(dialled)!;
  const next = route === undefined ? dialled : decodeURIComponent(route);
  expect(/@(\[[^\]]+\]|[^:;]+)/.exec(next)?.[1]).toBe('203.0.113.9');
  expect(dialled).not.toMatch(/maddr|received|lr(;|$)/i);
  expect(dialled.match(/fs_path/gi)?.length ?? 0).toBeLessThanOrEqual(1);
});

test.each([
  'sip:203.0.113.9', // would be looked up as a registration
  'sip:203.0.113.9;x=%beta.test',
  'sip:x;fs_path=sip%3Ay%40198.51.100.7@203.0.113.9',
  'sip:x%3bfs_path=sip%3Ay%40198.51.100.7@203.0.113.9',
  'sip:x@203.0.113.9?Route=%3Csip%3A198.51.100.7%3Blr%3E',
  'sip:x@203.0.113.9:0',
  'sip:x@203.0.113.9:99999',
  'sip:x@203.0.113.9;a=b,sofia/internal/y@198.51.100.7',
  'sip:x^y@203.0.113.9',
  'tel:+15551234',
  '*',
])('does not dial %s', (contact) => expect(dial(contact)).toBeUndefined());

test('rings nobody of whom it is not known where they are', () => {
  for (const networkIp of ['', 'desk.local', '203.0.113.9;x']) {
    expect(dial('sip:x@203.0.113.9', { networkIp })).toBeUndefined();
  }
  expect(dial('sip:x@10.0.0.1', { networkPort: 0 })).toBeUndefined();
  expect(dial('sip:x@10.0.0.1', { transport: 'udp;lr' })).toBeUndefined();
});

test('leaves nothing that a dial string would act on, whatever a phone writes', () => {
  for (const text of [...HOSTILE, ...hostileMixes(2000)]) {
    for (const contact of [`sip:${text}@h`, `<sip:x@${text}>`, `sip:x@h;${text}`, `sip:x@h;a=${text}`, text]) {
      const dialled = dial(contact);
      if (dialled !== undefined) expect(dialled).toMatch(/^sips?:[^\s,|[\]{}<>^$"'\\?]+$/);
    }
  }
});
