import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../../scripts/project';
import { doorsTable } from '../../../src/freeswitch/xml/configuration/sip-doors';
import { SOFIA_PARAMETERS } from '../../../src/freeswitch/xml/configuration/sofia-parameters';
import {
  CONFIGURATION_NAMES,
  configurationXml,
  findAll,
  markLists,
  parseDocument,
  type Element,
  type NodeSettings,
} from '../../../src/freeswitch/xml';
import { expectInert } from './hostile';

const node: NodeSettings = {
  name: 'n1',
  host: '10.0.0.1',
  eslPort: 8021,
  eslPassword: 'p"<&>',
  sipPort: 5060,
  internodePort: 5080,
  wsPort: 5066,
  rtpFrom: 16384,
  rtpTo: 16999,
  heartbeatSeconds: 2,
  cdrUrl: 'http://10.0.0.9/freeswitch/cdr?a=1&b=2',
  cdrCredentials: 'n1:secret',
  poolHosts: ['10.0.0.1', '10.0.0.2', '10.0.0.2', 'not-an-address'],
};
const conf = (name: string, settings = node): Element => parseDocument(configurationXml(name, settings)!);
const value = (root: Element, name: string): unknown =>
  findAll(root, 'param').find((p) => p.attributes?.name === name)?.attributes?.value;

test('answers each name with a document of that name, and nothing else', () => {
  for (const name of CONFIGURATION_NAMES) {
    // The one variable of the node that an answer names: whose certificates it believes, freeswitch/freeswitch.xml.
    expectInert(configurationXml(name, node)!.replace('$${switchyard_ca_file}', ''));
    expect(findAll(conf(name), 'configuration')[0]?.attributes?.name).toBe(name);
  }
  for (const name of ['verto.conf', 'toString', '__proto__', '']) expect(configurationXml(name, node)).toBeUndefined();
});

test('opens the Event Socket where it is dialled: inside where that is the loopback, else everywhere, but for IPv6', () => {
  const listenIp = (change: Partial<NodeSettings>): unknown =>
    value(conf('event_socket.conf', { ...node, ...change }), 'listen-ip');
  expect(listenIp({ host: '127.0.0.1', controlHosts: ['127.0.0.1'] })).toBe('127.0.0.1');
  expect(listenIp({ host: '127.0.0.31', controlHosts: ['127.0.0.1'] })).toBe('127.0.0.31');
  expect(listenIp({ host: '127.0.0.1', controlHosts: ['10.0.0.9'] })).toBe('0.0.0.0');
  expect(listenIp({ host: '10.0.0.1', controlHosts: ['127.0.0.1'] })).toBe('0.0.0.0'); // compose with NODE_HOST
  expect(listenIp({ host: '10.0.0.1' })).toBe('0.0.0.0');
  expect(listenIp({ host: '::1' })).toBe('::1');
  expect(listenIp({ host: 'fd00::1' })).toBe('fd00::1');
  expect(value(conf('event_socket.conf'), 'password')).toBe('p"<&>');
});

test('tells the Event Socket itself from where it lets in: no list that is lost shuts anybody out', () => {
  const acl = (change: Partial<NodeSettings>): unknown =>
    value(conf('event_socket.conf', { ...node, ...change }), 'apply-inbound-acl');
  expect(acl({ controlHosts: ['10.0.0.9', '10.4.0.0/16', 'fd00::/8', 'a-name'] })).toBe(
    '127.0.0.0/8,10.0.0.9/32,10.4.0.0/16,10.0.0.1/32',
  );
  // Of one family: FreeSWITCH would compare the first bytes of the one with the whole of the other.
  expect(acl({ host: 'fd00::1', controlHosts: ['10.0.0.9', 'fd00::9'] })).toBe('::1/128,fd00::9/128,fd00::1/128');
  const many = Array.from({ length: 300 }, (_, i) => `10.1.${i >> 8}.${i & 255}`);
  expect(String(acl({ controlHosts: many })).split(',')).toHaveLength(100);
});

test('adds to what the Event Socket was told, and takes nothing from it', () => {
  const lists = findAll(
    conf('acl.conf', {
      ...node,
      controlHosts: ['10.0.0.9'],
      eslNetworks: '127.0.0.0/8,10.0.0.7/32',
      listsMark: 'switchyard-1',
    }),
    'list',
  );
  const cidrs = Object.fromEntries(
    lists.map((l) => [l.attributes?.name, l.children?.map((c) => c.attributes?.cidr) ?? []]),
  );
  expect(lists.every((l) => l.attributes?.default === 'deny')).toBe(true);
  expect(cidrs).toEqual({
    esl: ['127.0.0.0/8', '::1/128', '10.0.0.9/32', '10.0.0.1/32'],
    pool: ['10.0.0.1/32', '10.0.0.2/32'],
    '127.0.0.0/8,10.0.0.7/32': ['127.0.0.0/8', '10.0.0.7/32', '::1/128', '10.0.0.9/32', '10.0.0.1/32'],
    'switchyard-1': ['127.0.0.1/32'],
  });
});

test('knows a node that has these lists by their mark, in whatever order they were read', () => {
  const lists = { poolHosts: ['10.0.0.1', '10.0.0.2'], controlNetworks: ['10.0.0.0/8'] };
  expect(markLists({ ...lists, poolHosts: ['10.0.0.2', '10.0.0.1', '10.0.0.1'] })).toBe(markLists(lists));
  expect(markLists({ ...lists, poolHosts: ['10.0.0.1'] })).not.toBe(markLists(lists));
  expect(markLists({ ...lists, controlNetworks: [] })).not.toBe(markLists(lists));
  expect(markLists(lists)).toMatch(/^switchyard-[0-9a-f]{20}$/);
});

test('lets only the nodes of the pool use the internode profile', () => {
  const pool = findAll(conf('acl.conf'), 'list')[1]!;
  expect(pool.children?.map((c) => c.attributes?.cidr)).toEqual(['10.0.0.1/32', '10.0.0.2/32']);
});

test('asks phones for a password, and forces no domain', () => {
  const [internal, internode] = findAll(conf('sofia.conf'), 'profile');
  expect(internal?.attributes?.name).toBe('internal');
  expect(value(internal!, 'auth-calls')).toBe('true');
  expect(value(internal!, 'ws-binding')).toBe('10.0.0.1:5066');
  expect(value(internal!, 'force-register-domain')).toBeUndefined();
  const lists = findAll(internal!, 'param').filter((p) => p.attributes?.name === 'apply-candidate-acl');
  expect(lists.map((p) => p.attributes?.value)).toEqual(['none', 'loopback.auto', 'localnet.auto', 'any_v4.auto']);
  expect(value(internode!, 'apply-inbound-acl')).toBe('pool');
  expect(value(internode!, 'context')).toBe('internode');
});

test('opens a door for browsers of https pages where the node has one', () => {
  expect(value(conf('sofia.conf'), 'wss-binding')).toBeUndefined();
  expect(value(conf('sofia.conf', { ...node, wssPort: 7443 }), 'wss-binding')).toBe('10.0.0.1:7443');
});

test('tells phones and browsers the address that the world sees, and other nodes its own', () => {
  const [internal, internode] = findAll(conf('sofia.conf', { ...node, publicHost: '203.0.113.7' }), 'profile');
  const told = ['sip-ip', 'rtp-ip', 'ext-sip-ip', 'ext-rtp-ip'];
  expect(told.map((name) => value(internal!, name))).toEqual(['10.0.0.1', '10.0.0.1', '203.0.113.7', '203.0.113.7']);
  expect(told.map((name) => value(internode!, name))).toEqual(['10.0.0.1', '10.0.0.1', undefined, undefined]);
  expect(value(conf('sofia.conf'), 'ext-rtp-ip')).toBeUndefined();
});

test('lets call records go only to whom a certificate proves', () => {
  const cdr = conf('json_cdr.conf');
  expect(['enable-cacert-check', 'enable-ssl-verifyhost', 'ssl-cacert-file'].map((name) => value(cdr, name))).toEqual([
    'true',
    'true',
    '$${switchyard_ca_file}',
  ]);
});

describe('layouts', () => {
  const layouts = findAll(conf('conference_layouts.conf'), 'layout').filter((l) => l.attributes?.name);

  test('has every name a group uses', () => {
    const names = new Set(layouts.map((l) => l.attributes?.name));
    const used = findAll(conf('conference_layouts.conf'), 'group').flatMap((g) => g.children!.map((c) => c.text));
    expect(used.length).toBeGreaterThan(20);
    for (const name of used) expect(names).toContain(name);
  });

  test('keeps every video on the canvas', () => {
    for (const layout of layouts) {
      for (const image of layout.children!) {
        const [x, y, scale] = ['x', 'y', 'scale'].map((k) => Number(image.attributes?.[k]));
        const height = Number(image.attributes?.hscale ?? scale);
        expect([layout.attributes?.name, x! + scale! <= 360, y! + height <= 360, x! >= 0, y! >= 0]).toEqual([
          layout.attributes?.name,
          true,
          true,
          true,
          true,
        ]);
      }
    }
  });

  test('divides 3x3 into nine', () => {
    const images = layouts.find((l) => l.attributes?.name === '3x3')!.children!;
    expect(images.map((i) => `${i.attributes?.x},${i.attributes?.y}`)).toEqual([
      '0,0',
      '120,0',
      '240,0',
      '0,120',
      '120,120',
      '240,120',
      '0,240',
      '120,240',
      '240,240',
    ]);
  });
});

describe('the list of SIP methods', () => {
  const settingsOf = (profile: Element): string[] =>
    findAll(profile, 'param')
      .map((p) => String(p.attributes?.name))
      .filter((name) => name !== 'apply-candidate-acl');

  test('makes the profiles: what it closes is closed at each door', () => {
    const [internal, internode] = findAll(conf('sofia.conf'), 'profile');
    for (const profile of [internal!, internode!]) {
      for (const name of ['enable-chat', 'extended-info-parsing', 'manage-presence', 'proxy-refer', 'enable-3pcc'])
        expect([name, value(profile, name)]).toEqual([name, 'false']);
      expect(value(profile, 'disable-transfer')).toBe('true');
    }
    expect(value(internal!, 'disable-register')).toBeUndefined();
    expect(value(internode!, 'disable-register')).toBe('true');
  });

  test('knows every parameter that a profile sets, so that none is added without a decision', () => {
    const full = { ...node, wssPort: 7443, publicHost: '203.0.113.7' };
    for (const profile of findAll(conf('sofia.conf', full), 'profile')) {
      expect(settingsOf(profile).filter((name) => !SOFIA_PARAMETERS.has(name))).toEqual([]);
      // One that is left at its default is not set.
      expect(settingsOf(profile).filter((name) => SOFIA_PARAMETERS.get(name)?.startsWith('left'))).toEqual([]);
      expect(new Set(settingsOf(profile)).size).toBe(settingsOf(profile).length);
    }
  });

  test('is in freeswitch/README.md as it is', () => {
    expect(readFileSync(join(projectRoot(), 'freeswitch', 'README.md'), 'utf8')).toContain(doorsTable());
  });
});
