import {
  dialStringTo,
  findAll,
  NOT_REGISTERED,
  notFoundXml,
  parseDocument,
  userXml,
  type ReachableContact,
  type UserAnswer,
} from '../../../src/freeswitch/xml';
import { userXmlByBuilder } from '../../../src/freeswitch/xml/directory';
import { expectInert, HOSTILE, hostileMixes } from './hostile';

const user: UserAnswer = {
  domain: 'clinic.test',
  username: '1001',
  ha1: '0123456789abcdef0123456789abcdef',
  displayName: 'Dr. Ada "Countess" <Lovelace> & Co',
  callerNumber: '1001',
};

describe('userXml', () => {
  test('carries to a login the digest hash, and who the user is', () => {
    const parsed = parseDocument(userXml(user));
    expect(findAll(parsed, 'user')[0]?.attributes).toEqual({ id: '1001' });
    expect(findAll(parsed, 'param').map((p) => p.attributes)).toEqual([{ name: 'a1-hash', value: user.ha1 }]);
  });

  test('carries to a call the way and no digest', () => {
    const parsed = parseDocument(userXml({ ...user, dialString: 'sofia/internal/sip:a@h' }));
    expect(findAll(parsed, 'user')[0]?.attributes).toEqual({ id: '1001' });
    expect(findAll(parsed, 'param').map((p) => p.attributes)).toEqual([
      { name: 'dial-string', value: 'sofia/internal/sip:a@h' },
    ]);
  });

  test('gives a login a guard against an answer that no plan of ours gave, and the leg that rings somebody none', () => {
    const guards = (answer: UserAnswer): number =>
      findAll(parseDocument(userXml(answer)), 'variable').filter((v) => v.attributes?.name === 'execute_on_answer')
        .length;
    expect([guards(user), guards({ ...user, dialString: NOT_REGISTERED })]).toEqual([1, 0]);
  });

  test('is never cached by the node', () => expect(userXml(user)).not.toContain('cacheable'));

  test('refuses to answer without a hash: FreeSWITCH would let anybody in', () => {
    expect(() => userXml({ ...user, ha1: '' })).toThrow('digest hash');
  });

  test.each(['a b', 'a"b', '${x}', 'a,b', ''])('refuses the user name %j', (username) => {
    expect(() => userXml({ ...user, username })).toThrow();
  });

  test('is the same as the document builder makes, and inert, for every text', () => {
    for (const text of [...HOSTILE, ...hostileMixes(2000)]) {
      const answer = { ...user, displayName: text, callerNumber: text, dialString: NOT_REGISTERED };
      const xml = userXml(answer);
      expect(xml).toBe(userXmlByBuilder(answer));
      expectInert(xml);
      const values = findAll(parseDocument(xml), 'variable').map((v) => String(v.attributes?.value));
      expect(values).toHaveLength(3); // no guard beside a dial string
      for (const value of values) expect(value).not.toMatch(/\$\{|\$$/);
    }
  });

  test('keeps harmless text as it is', () => {
    const xml = userXml({ ...user, displayName: 'Zoë $5 A$AP 👩‍🚀 100% <b>' });
    expect(findAll(parseDocument(xml), 'variable')[2]?.attributes?.value).toBe('Zoë $5 A$AP 👩‍🚀 100% <b>');
  });
});

test('says "not found" in the words FreeSWITCH knows', () => {
  expect(findAll(parseDocument(notFoundXml()), 'result')[0]?.attributes).toEqual({ status: 'not found' });
});

describe('dialStringTo', () => {
  const at = (node: string, contact: string): ReachableContact => ({
    node,
    host: `10.0.0.${node.slice(-1)}`,
    internodePort: 5080,
    contact,
    profile: 'internal',
    source: { networkIp: '10.1.1.1', networkPort: 40000, transport: 'udp' },
  });
  const [A, B] = ['sip:a@10.1.1.1', 'sip:b@10.1.1.1'];
  const to = (contacts: ReachableContact[]): string => {
    let id = 0;
    return dialStringTo({
      username: '1001',
      domain: 'clinic.test',
      thisNode: 'n1',
      contacts,
      token: (node) => `token.for-${node}`,
      callId: 'call-1',
      createId: () => `new-${++id}`,
    });
  };

  test('dials a contact of its own node as it was registered', () => {
    expect(to([at('n1', '"A" <sip:x@10.1.1.1:5062;line=a1;transport=udp>')])).toBe(
      'sofia/internal/sip:x@10.1.1.1:5062;line=a1;transport=udp',
    );
  });

  test('forks: each branch after the first has an id of its own, another node is asked once', () => {
    expect(to([at('n1', A), at('n1', B), at('n2', A), at('n2', B)])).toBe(
      `sofia/internal/${A},[origination_uuid=new-1]sofia/internal/${B},` +
        '[origination_uuid=new-2,switchyard_leg=transit,sip_h_X-Switchyard-Token=token.for-n2,' +
        'sip_h_X-Switchyard-Call=call-1,sip_h_X-Switchyard-Leg=to]sofia/internode/1001@10.0.0.2:5080',
    );
  });

  test('leaves out what would be dialled besides', () => {
    expect(to([at('n1', '<sip:a,loopback/9196/users@h>')])).toBe(NOT_REGISTERED);
    expect(to([at('n1', '<sip:a|b@h>'), at('n1', A)])).toBe(`sofia/internal/${A}`);
    for (const text of HOSTILE) expect(to([at('n1', `<sip:${text}@10.1.1.1 x>`)])).toBe(NOT_REGISTERED);
  });

  test('says so where nobody can be reached', () => expect(to([])).toBe(NOT_REGISTERED));
});
