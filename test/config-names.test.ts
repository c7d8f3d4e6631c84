/** Settings that are misspelt are refused with the right name: what has no effect must not be silent. */
import { readPoolOptions } from '../scripts/operate/options';
import { readStartOptions } from '../scripts/startup/options';
import { readConfig } from '../src/config';
import { findMisspelt, lettersBetween } from '../src/config-names';
import { showSettings } from '../src/main/shown-settings';

const right = {
  DATABASE_URL: 'postgres://yard:a-secret-1@10.0.0.5:5432/yard',
  REDIS_URL: 'redis://:a-secret-2@10.0.0.6:6379',
  SWITCHYARD_SECRET: Buffer.alloc(32, 7).toString('base64'),
};
const faultOf = (more: Record<string, string>): string => {
  try {
    readConfig({ ...right, ...more });
    return '';
  } catch (error) {
    return (error as Error).message;
  }
};

test.each([
  ['CANARY_SECOND', 'CANARY_SECONDS'],
  ['RECORDING_DIR', 'RECORDINGS_DIR'],
  ['ROLE', 'ROLES'],
  ['CONTROL_NETWORK', 'CONTROL_NETWORKS'],
  ['HTTP_PROT', 'HTTP_PORT'],
  ['TRUSTED_PROXYS', 'TRUSTED_PROXIES'],
  ['SWITCHYARD_SECRETS', 'SWITCHYARD_SECRET'],
])('%s is refused, and %s is what was meant', (wrong, meant) => {
  expect(faultOf({ [wrong]: '1' })).toBe(
    `The settings are not valid:\n  ${wrong}: is no setting; did you mean ${meant}?`,
  );
});

test('all of them are told at once, with what else is wrong, and no value is repeated', () => {
  const message = faultOf({ CONTROL_NETWORK: 'hidden-1', HTTP_PROT: 'hidden-2', HTTP_PORT: 'hidden-3' });
  expect(message.split('\n')).toHaveLength(3);
  expect(message).toMatch(/HTTP_PORT: .*\n {2}CONTROL_NETWORK: is no setting; did you mean CONTROL_NETWORKS\?/);
  expect(message).not.toContain('hidden');
});

test('what has our prefix is refused also where it is near to nothing', () => {
  expect(faultOf({ SWITCHYARD_COLOUR: 'blue' })).toContain('SWITCHYARD_COLOUR: is no setting');
});

test('what others set is let be: nodes, scripts, Kubernetes, and what is near to a setting that is set', () => {
  const others = {
    SWITCHYARD_NODE_NAME: 'n1',
    SWITCHYARD_URL: 'http://127.0.0.1:8080',
    SWITCHYARD_SERVICE_HOST: '10.0.0.1',
    SWITCHYARD_NODES_SERVICE_PORT_HTTP: '8088',
    SWITCHYARD_PORT: 'tcp://10.0.0.1:8080',
    SWITCHYARD_NODES_PORT_8088_TCP_ADDR: '10.0.0.1',
    NODE_HOST: '10.0.0.7',
    HTTPS_PORT: '443',
    REDIS_URI: 'redis://another',
    PATH: '/bin',
    HOME: '/',
    ROLENAME: 'x',
    SWITCHYARD_COLOUR: '', // left empty is not set
  };
  expect(faultOf(others)).toBe('');
  expect(
    findMisspelt(
      Object.keys(process.env).filter((name) => !name.startsWith('npm_')),
      ['HTTP_PORT'],
    ),
  ).toEqual([]);
});

test('letters are counted that are missing, too many, wrong or swapped', () => {
  const pairs = [
    ['PORT', 'PORT'],
    ['PORT', 'PRT'],
    ['PORT', 'PORTS'],
    ['PORT', 'PIRT'],
    ['PORT', 'PROT'],
    ['PORT', 'TROP'],
    ['', 'PORT'],
  ] as const;
  expect(pairs.map(([a, b]) => lettersBetween(a, b))).toEqual([0, 1, 1, 1, 1, 3, 4]);
});

test('the settings in force can be shown, and hold no secret', () => {
  const config = readConfig({
    ...right,
    NODE_JOIN_TOKEN: 'a-secret-3-of-nodes',
    BOOTSTRAP_API_KEY: 'a-secret-4-of-the-first-admin',
    TURN_SECRET: 'a-secret-5-of-coturn',
    S3_ENDPOINT: 'https://s3.example.org',
    S3_BUCKET: 'yard',
    S3_ACCESS_KEY_ID: 'a-secret-6',
    S3_SECRET_ACCESS_KEY: 'a-secret-7',
  });
  const shown = JSON.stringify(showSettings(config));
  expect(shown).not.toMatch(/a-secret/);
  expect(shown).not.toContain(right.SWITCHYARD_SECRET);
  expect(showSettings(config)).toMatchObject({
    databaseUrl: '10.0.0.5:5432/yard',
    redisUrl: '10.0.0.6:6379',
    secrets: 1,
    nodeJoinToken: '[set]',
    roles: ['api', 'worker', 'supervisor'],
    recordingsS3: { endpoint: 'https://s3.example.org', bucket: 'yard' },
  });
});

test.each(['HTTP_PROT', 'NODE_COUTN', 'NODE_PORTBASE', 'FREESWICH_BIN', 'SWITCHYARD_SECERT'])(
  '`start` refuses %s before it fills in anything, and goes on with what others set',
  (wrong) => {
    expect(() => readStartOptions([], { [wrong]: '1' })).toThrow(`${wrong}: is no setting; did you mean `);
    expect(readStartOptions([], { NODE_HOST: '127.0.0.1', HTTPS_PROXY: 'http://p', NODE_OPTIONS: '' }).httpPort).toBe(
      8080,
    );
  },
);

test('`pool` refuses a misspelt address: it would change another pool', () => {
  expect(() => readPoolOptions(['status'], { SWITCHYARD_UR: 'https://yard.test' })).toThrow(
    'did you mean SWITCHYARD_URL?',
  );
  expect(readPoolOptions(['status'], { SWITCHYARD_URL: 'https://yard.test', ROLE: 'x' })).toBeDefined();
});
