import { isSamePhone, selectRingable, type KnownContact } from '../../../src/domains/registrations/ringable';

const telephone = (change: Partial<KnownContact> = {}): KnownContact => ({
  contact: '"" <sip:ann@192.168.1.21:5060>',
  network_ip: '198.51.100.7',
  user_agent: 'Yealink T46S',
  grant_id: null,
  node_state: 'serving',
  ...change,
});
const page = (grant_id: string, node_state = 'serving'): KnownContact =>
  telephone({ contact: `sip:x${node_state}@invalid;transport=ws`, user_agent: 'JsSIP', grant_id, node_state });

test('a phone that has moved from a draining node is rung at its new node only', () => {
  const before = telephone({ node_state: 'draining' });
  const after = telephone({ contact: '<sip:ann@192.168.1.21:41822;transport=tcp>' });
  expect(selectRingable([before, after])).toEqual([after]);
  expect(selectRingable([page('g1', 'draining'), page('g1')])).toEqual([page('g1')]);
});

test('a phone that has nothing but its contact at a draining node is rung there', () => {
  const alone = telephone({ node_state: 'draining' });
  expect(selectRingable([alone])).toEqual([alone]);
  for (const other of [
    telephone({ contact: 'sip:ann@192.168.1.22:5060' }),
    telephone({ user_agent: 'Linphone' }),
    telephone({ network_ip: '203.0.113.9' }),
    page('g1'),
    { ...alone }, // at another node that drains
  ])
    expect(selectRingable([alone, other])).toEqual([alone, other]);
});

test('two pages of one user are two phones, whatever their browsers are called', () => {
  expect(isSamePhone(page('g1'), page('g2'))).toBe(false);
  expect(isSamePhone(page('g1'), telephone())).toBe(false);
});

test.each([
  ['sip:ann@10.0.0.4:5060', 'sip:ann@10.0.0.4:5062;transport=tcp', true],
  ['sip:ann@[2001:db8::4]:5060', '<sips:ann@[2001:db8::4];ob>', true],
  ['sip:ann@10.0.0.4', 'sip:bea@10.0.0.4', false],
  ['sip:10.0.0.4:5060', 'sip:10.0.0.5:5060', false],
  ['no address', 'no address', true],
])('%s and %s are one phone: %s', (a, b, same) => {
  expect(isSamePhone(telephone({ contact: a }), telephone({ contact: b }))).toBe(same);
});
