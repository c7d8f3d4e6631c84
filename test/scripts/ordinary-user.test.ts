/** Whom programs are run as where we are root, and what they are given: decided without starting anything. */
import { chmodSync, mkdtempSync, mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nodeEnvironment, simulatorEnvironment } from '../../scripts/nodes/node-environment';
import { chooseNodeUser, choosePostgresUser, findClosedFolder, parseUsers } from '../../scripts/nodes/ordinary-user';
import { StartFault } from '../../scripts/project';

const line = (name: string, id: number): string => `${name}:x:${id}:${id}:${name}:/nonexistent:/usr/sbin/nologin`;
const machine = (...names: string[]) => parseUsers(names.map((name, i) => line(name, i)).join('\n'));

test.each([
  [['root', 'daemon', 'nobody', 'postgres', 'freeswitch'], 'postgres', 'freeswitch'],
  [['root', 'daemon', 'nobody', 'postgres'], 'postgres', 'nobody'],
  [['root', 'daemon', 'nobody'], 'nobody', 'daemon'],
])('with the users %j Postgres runs as %s, and a media node as %s', (names, postgres, node) => {
  expect(choosePostgresUser(machine(...names))?.name).toBe(postgres);
  expect(chooseNodeUser(machine(...names), undefined).name).toBe(node);
});

test('a media node is never run as root because nobody else is there', () => {
  expect(() => chooseNodeUser(machine('root', 'nobody'), undefined)).toThrow(/FREESWITCH_USER/);
  expect(() => chooseNodeUser(machine('root', 'daemon'), 'media')).toThrow(StartFault);
  expect(chooseNodeUser(machine('root', 'media'), 'media')).toEqual({ name: 'media', uid: 1, gid: 1 });
});

test('lines of /etc/passwd that are none are left out', () => {
  expect(parseUsers(`${line('a', 7)}\n\n# comment\nb:x:no:7::/:\n+::::::\n`)).toEqual([{ name: 'a', uid: 7, gid: 7 }]);
});

test('the first folder that keeps a user out is named', () => {
  const top = mkdtempSync(join(tmpdir(), 'switchyard-closed-'));
  try {
    const inner = join(top, 'inner');
    mkdirSync(inner, { mode: 0o700 });
    const stranger = { name: 'stranger', uid: 54_321, gid: 54_321 };
    expect(findClosedFolder(join(inner, 'not-there-yet'), stranger)).toBe(top);
    chmodSync(top, 0o711);
    expect(findClosedFolder(inner, stranger)).toBe(inner);
    chmodSync(inner, 0o711);
    expect(findClosedFolder(inner, stranger)).toBeUndefined();
  } finally {
    rmSync(top, { recursive: true, force: true });
  }
});

test('nodes are given what is on the list, and no key of ours', () => {
  const ours = {
    DATABASE_URL: 'postgres://…',
    REDIS_URL: 'redis://…',
    SWITCHYARD_SECRET: 'secret',
    NODE_JOIN_TOKEN: 'token',
    BOOTSTRAP_API_KEY: 'key',
    SWITCHYARD_API_KEY: 'key',
    TURN_SECRET: 'secret',
    S3_SECRET_ACCESS_KEY: 'key',
    AWS_SECRET_ACCESS_KEY: 'key',
    LD_PRELOAD: '/tmp/evil.so',
    http_proxy: 'http://proxy',
    NODE_OPTIONS: '--require evil',
  };
  const theirs = { PATH: '/bin', TZ: 'UTC', CURL_CA_BUNDLE: '/ca.pem', SWITCHYARD_LOG_LEVEL: 'debug' };
  expect(nodeEnvironment({ ...ours, ...theirs })).toEqual(theirs);
  const simulated = { PATH: '/bin', HOME: '/root', SWITCHYARD_HEARTBEAT_SECONDS: '1' };
  expect(simulatorEnvironment({ ...ours, ...simulated })).toEqual(simulated);
});
