import {
  contactUri,
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
  cacheMs: 0,
};

describe('userXml', () => {
  it('carries the digest hash and who the user is', () => {
    const parsed = parseDocument(userXml({ ...user, dialString: 'sofia/internal/sip:a@h', cacheMs: 60000 }));
    expect(findAll(parsed, 'user')[0]?.attributes).toEqual({ id: '1001', cacheable: '60000' });
    expect(findAll(parsed, 'param').map((p) => p.attributes)).toEqual([
      { name: 'a1-hash', value: user.ha1 },
      { name: 'dial-string', value: 'sofia/internal/sip:a@h' },
    ]);
  });

  it('is not kept by the node unless asked', () => expect(userXml(user)).not.toContain('cacheable'));

  it('refuses to answer without a hash: FreeSWITCH would let anybody in', () => {
    expect(() => userXml({ ...user, ha1: '' })).toThrow('digest hash');
  });

  it.each(['a b', 'a"b', '${x}', 'a,b', ''])('refuses the user name %j', (username) => {
    expect(() => userXml({ ...user, username })).toThrow();
  });

  it('is the same as the document builder makes, and inert, for every text', () => {
    for (const text of [...HOSTILE, ...hostileMixes(2000)]) {
      const answer = { ...user, displayName: text, callerNumber: text, dialString: NOT_REGISTERED, cacheMs: 5 };
      const xml = userXml(answer);
      expect(xml).toBe(userXmlByBuilder(answer));
      expectInert(xml);
      const values = findAll(parseDocument(xml), 'variable').map((v) => String(v.attributes?.value));
      expect(values).toHaveLength(3);
      for (const value of values) expect(value).not.toMatch(/\$\{|\$$/);
    }
  });

  it('keeps harmless text as it is', () => {
    const xml = userXml({ ...user, displayName: 'Zoë $5 A$AP 👩‍🚀 100% <b>' });
    expect(findAll(parseDocument(xml), 'variable')[1]?.attributes?.value).toBe('Zoë $5 A$AP 👩‍🚀 100% <b>');
  });
});

it('says "not found" in the words FreeSWITCH knows', () => {
  expect(findAll(parseDocument(notFoundXml()), 'result')[0]?.attributes).toEqual({ status: 'not found' });
});

describe('dialStringTo', () => {
  const at = (node: string, contact: string): ReachableContact => ({
    node,
    host: `10.0.0.${node.slice(-1)}`,
    internodePort: 5080,
    contact,
    profile: 'internal',
  });
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

  it('dials a contact of its own node as it was registered', () => {
    expect(to([at('n1', '"A" <sip:x@y.invalid;transport=ws;fs_path=sip%3Ax%40127.0.0.1%3A1>')])).toBe(
      'sofia/internal/sip:x@y.invalid;transport=ws;fs_path=sip%3Ax%40127.0.0.1%3A1',
    );
  });

  it('forks: each branch after the first has an id of its own, another node is asked once', () => {
    expect(to([at('n1', 'sip:a@h'), at('n1', 'sip:b@h'), at('n2', 'sip:c@h'), at('n2', 'sip:d@h')])).toBe(
      'sofia/internal/sip:a@h,[origination_uuid=new-1]sofia/internal/sip:b@h,' +
        '[origination_uuid=new-2,switchyard_leg=transit,sip_h_X-Switchyard-Token=token.for-n2,' +
        'sip_h_X-Switchyard-Call=call-1,sip_h_X-Switchyard-Leg=to]sofia/internode/1001@10.0.0.2:5080',
    );
  });

  it('leaves out what would be dialled besides', () => {
    expect(to([at('n1', '<sip:a,loopback/9196/users@h>')])).toBe(NOT_REGISTERED);
    expect(to([at('n1', '<sip:a|b@h>'), at('n1', 'sip:ok@h')])).toBe('sofia/internal/sip:ok@h');
    for (const text of HOSTILE) expect(contactUri(`<sip:${text}@h x>`)).toBeUndefined();
  });

  it('says so where nobody can be reached', () => expect(to([])).toBe(NOT_REGISTERED));
});
