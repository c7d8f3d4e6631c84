import { parseXmlRequest } from '../../../src/freeswitch/xml';

const by = { hostname: 'n1', 'Core-UUID': 'core-1' };
const who = { nodeName: 'n1', coreUuid: 'core-1' };

describe('parseXmlRequest', () => {
  test('reads a password question', () => {
    const form = {
      ...by,
      section: 'directory',
      key_name: 'name',
      key_value: 'clinic.test',
      action: 'sip_auth',
      user: '1001',
      domain: 'clinic.test',
      sip_auth_method: 'REGISTER',
      sip_auth_realm: 'clinic.test',
      sip_profile: 'internal',
      ip: '127.0.0.1',
      client_port: '5062',
    };
    expect(parseXmlRequest(form)).toMatchObject({
      kind: 'user',
      ...who,
      purpose: 'sip_auth',
      username: '1001',
      domain: 'clinic.test',
      sipMethod: 'REGISTER',
      networkPort: 5062,
    });
  });

  test('knows whose call rings a user', () => {
    const form = {
      ...by,
      section: 'directory',
      action: 'user_call',
      user: '1',
      domain: 'd',
      switchyard_call_id: 'c',
      switchyard_leg: 'from',
    };
    expect(parseXmlRequest(form)).toMatchObject({ purpose: 'user_call', callId: 'c', legRole: 'from' });
  });

  test('reads gateways, and calls the rest unknown', () => {
    expect(parseXmlRequest({ ...by, section: 'directory', purpose: 'gateways', profile: 'internal' })).toMatchObject({
      kind: 'gateways',
      profile: 'internal',
    });
    expect(parseXmlRequest({ ...by, section: 'directory', purpose: 'network-list' })).toMatchObject({
      kind: 'unknown',
      purpose: 'network-list',
    });
    expect(parseXmlRequest({ ...by, section: 'dialplan' }).kind).toBe('unknown');
    expect(parseXmlRequest({}).kind).toBe('unknown');
    expect(parseXmlRequest({ section: '__proto__' }).kind).toBe('unknown');
  });

  const call = {
    ...by,
    section: 'dialplan',
    'Unique-ID': 'leg-1',
    'Caller-Context': 'users',
    'Caller-Destination-Number': '1002',
    'Caller-Username': 'mallory',
    variable_user_name: '1001',
    variable_domain_name: 'clinic.test',
  };

  test('takes a caller for who proved to be, never for who is said to be', () => {
    expect(parseXmlRequest({ ...call, variable_sip_authorized: 'true' })).toMatchObject({
      username: '1001',
      domain: 'clinic.test',
    });
    const unproved = parseXmlRequest(call);
    expect(unproved).toMatchObject({ kind: 'dialplan', destination: '1002' });
    expect(unproved).not.toHaveProperty('username', '1001');
  });

  test('finds what another node sent along, and believes no phone that says the same', () => {
    const form = {
      ...call,
      'variable_sip_h_X-Switchyard-Token': 't',
      'variable_sip_h_X-Switchyard-Call': 'c',
      'variable_sip_h_X-Switchyard-Leg': 'from',
    };
    const through = (profile: string) => parseXmlRequest({ ...form, variable_sofia_profile_name: profile });
    expect(through('internode')).toMatchObject({ token: 't', callId: 'c', deliveredLeg: 'from' });
    expect(through('internal')).toMatchObject({ token: undefined, callId: undefined, deliveredLeg: undefined });
  });

  test('reads the configuration question of a room', () => {
    const form = {
      ...by,
      section: 'configuration',
      key_name: 'name',
      key_value: 'conference.conf',
      conference_name: 'daily',
      profile_name: 'default',
    };
    expect(parseXmlRequest(form)).toMatchObject({
      kind: 'configuration',
      name: 'conference.conf',
      conferenceName: 'daily',
    });
  });
});
