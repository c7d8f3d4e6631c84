/** What ends a phone's registration, and what only looks like it. */
import { judgeEnd, foundNobody } from '../../../src/domains/registrations/ended';
import { phoneKeyOf } from '../../../src/domains/registrations/phone-key';

const now = {
  sip_call_id: 'a',
  contact: 'sip:ann@192.0.2.1:5060',
  network_ip: '192.0.2.1',
  network_port: 5060,
  moved_at: new Date(),
};
const told = { sipCallId: 'a', contact: now.contact, networkIp: '192.0.2.1', networkPort: 5060 };
const ws = 'sip:x1@y2.invalid;transport=ws;fs_nat=yes;fs_path=sip%3Ax1%40192.0.2.1%3A';

describe('a phone that has changed its socket with the same Call-ID stays when the old one ends', () => {
  test.each([
    ['its contact is taken back by the phone', { contact: 'sip:ann@192.0.2.1:5059', reason: 'unregister' }],
    ['its time is over', { contact: 'sip:ann@192.0.2.1:5059', networkPort: 5059, reason: 'expire' }],
    ['its time is over, and a NAT has changed the port alone', { networkPort: 5059, reason: 'expire' }],
  ] as const)('%s', (_how, event) => {
    expect(judgeEnd(now, { ...told, ...event })).toBe('stays');
  });

  test('a closed socket is told by the Call-ID alone: the node is asked', () => {
    const closed = { sipCallId: 'a', contact: '', reason: 'unregister' } as const;
    expect(judgeEnd(now, closed)).toBe('unsure');
    expect(judgeEnd({ ...now, moved_at: null }, closed)).toBe('gone');
    expect(judgeEnd(now, { ...closed, sipCallId: 'b' })).toBe('stays');
  });
});

describe('a phone is gone', () => {
  test.each([
    ['it says so', { ...told, reason: 'unregister' }],
    ['it says so with another Call-ID: a node goes by the contact', { ...told, sipCallId: 'b', reason: 'unregister' }],
    ['it takes all back', { ...told, contact: '*', reason: 'unregister' }],
    ['its time is over', { ...told, reason: 'expire' }],
  ] as const)('where %s', (_why, event) => {
    expect(judgeEnd(now, event)).toBe('gone');
  });

  test('where a browser says so from a socket that it had not registered by', () => {
    const row = { ...now, contact: `${ws}4000%3Btransport%3Dws` };
    expect(judgeEnd(row, { ...told, contact: `${ws}4001%3Btransport%3Dws`, reason: 'unregister' })).toBe('gone');
  });
});

test.each([
  ['the network refuses', false, 503, true],
  ['nothing comes back until the node gives up', false, 408, true],
  ['it is busy elsewhere and says 503 itself', true, 503, false],
  ['its caller gives up before it rang', false, 487, false],
  ['it has answered', true, undefined, false],
])('a leg where %s: nobody is there: %s %s %s', (_what, wasHeardFrom, inviteStatus, nobody) => {
  expect(foundNobody({ wasHeardFrom, inviteStatus })).toBe(nobody);
});

describe('two registrations are of one phone', () => {
  const key = (contact: string, networkIp = '192.0.2.1', transport = 'udp'): string =>
    phoneKeyOf({ contact, networkIp, transport });

  test.each([
    ['started anew, with another user part', 'sip:ann-0x1@192.0.2.7:5062', 'sip:ann-0x2@192.0.2.7:5062;ob'],
    ['that names its port and does not', 'sip:ann@192.0.2.7:5060', '"Ann" <sip:ann@192.0.2.7>'],
    ['by IPv6', 'sip:ann@[2001:DB8::1]:5062', 'sip:ann@[2001:db8::1]:5062'],
    ['behind another socket', `${ws}4000%3Btransport%3Dws`, `${ws}4001%3Btransport%3Dws`],
  ])('%s', (_what, one, other) => {
    expect(key(one)).toBe(key(other));
    expect(key(one)).not.toBe('');
  });

  test('and not of one where they come from two homes with the same private address, or from two pages', () => {
    expect(key('sip:ann@192.168.1.5:5060', '192.0.2.1')).not.toBe(key('sip:ann@192.168.1.5:5060', '192.0.2.2'));
    expect(key('sip:a@b1.invalid')).not.toBe(key('sip:a@b2.invalid'));
    expect(key('sip:a@192.0.2.7:5060')).not.toBe(key('sip:a@192.0.2.7:5061'));
    expect(key('tel:110')).toBe('');
  });
});
