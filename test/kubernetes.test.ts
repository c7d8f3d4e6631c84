/** No cluster is at hand: at least the manifests render, hang together, and fit the code they start. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { findProgram } from '../scripts/redis';
import { readConfig } from '../src/config';
import { readNodeAddress } from '../src/http/node.address';
import {
  containersOf,
  dataOf,
  environmentOf,
  isChosen,
  layOut,
  podsOf,
  render,
  root,
  type Container,
  type Resource,
} from './kubernetes-render';

const kubectl = findProgram('kubectl');
const read = (...path: string[]): string => readFileSync(join(root, ...path), 'utf8');

describe('scripts/kubernetes', () => {
  if (kubectl) return theManifests(kubectl);
  test('no kubectl found on PATH: not rendered', () => {
    process.stdout.write('scripts/kubernetes: no kubectl found on PATH: not rendered\n');
  });
});

function theManifests(program: string): void {
  const laid = { plain: layOut(), s3: layOut({ s3: true }), bare: layOut({ secrets: false }) };
  afterAll(() => Object.values(laid).forEach((each) => each.remove()));
  const folder = (dir: string, name: string): string => join(dir, 'scripts', 'kubernetes', name);
  const base = render(program, folder(laid.plain.dir, 'base'));
  const renderings: [string, Resource[]][] = [
    ['base', base],
    ['example', render(program, folder(laid.plain.dir, 'example'))],
    ['example with recordings in S3', render(program, folder(laid.s3.dir, 'example'))],
  ];

  test('what is rendered without an operator has no secrets in it, and Switchyard says what is missing', () => {
    const [secret] = base.filter((resource) => resource.kind === 'Secret');
    expect(Object.values(dataOf(base, 'Secret', secret!.metadata.name)).join('')).toBe('');
    const [replica] = replicasOf(base);
    expect(() => readConfig(environmentOf(base, replica!))).toThrow(/DATABASE_URL.*REDIS_URL.*SWITCHYARD_SECRET/s);
  });

  test('an overlay whose secrets nobody has written does not render', () => {
    expect(() => render(program, folder(laid.bare.dir, 'example'))).toThrow(/secrets\.env/);
  });

  describe.each(renderings)('%s', (name, all) => theRendering(name, all));
}

const replicasOf = (all: Resource[]): Container[] =>
  podsOf(all)
    .filter(({ labels }) => labels['app.kubernetes.io/name'] === 'switchyard')
    .flatMap(({ spec }) => spec.containers);
const nodePod = (all: Resource[]) => podsOf(all).find(({ owner }) => owner.kind === 'StatefulSet')!.spec;
const nodeOf = (all: Resource[]): Container => nodePod(all).containers.find((c) => c.name === 'freeswitch')!;
const imageTag = (image: string): string => image.split('/').at(-1)!.split(':')[1] ?? 'latest';

function theRendering(name: string, all: Resource[]): void {
  const isFilledIn = name !== 'base';
  const everything = podsOf(all).flatMap(({ spec }) => containersOf(spec));

  test('every variable of Switchyard is one that config.ts knows', () => {
    const known = read('src', 'config.ts');
    expect(replicasOf(all)).toHaveLength(3);
    for (const replica of replicasOf(all))
      for (const variable of Object.keys(environmentOf(all, replica))) expect(known).toContain(`  ${variable}: `);
  });

  test('there are replicas of each role, and all of them have /healthz and /metrics', () => {
    const roles = replicasOf(all).map((replica) => environmentOf(all, replica).ROLES!);
    expect(roles.sort()).toEqual(['api', 'supervisor', 'worker']);
    const answered = read('src', 'http', 'operations.ts');
    for (const { startupProbe, readinessProbe, livenessProbe } of replicasOf(all))
      for (const probe of [startupProbe, readinessProbe, livenessProbe])
        expect(answered).toContain(`app.get('${probe!.httpGet!.path}'`);
  });

  if (isFilledIn)
    test('with the secrets filled in, every replica reads its configuration', () => {
      for (const replica of replicasOf(all)) {
        const config = readConfig(environmentOf(all, replica));
        const ports = Object.fromEntries(replica.ports!.map((port) => [port.name, port.containerPort]));
        expect(ports.http).toBe(config.httpPort);
        expect(config.httpHost).toBe('0.0.0.0');
        expect(replica.volumeMounts!.map((mount) => mount.mountPath)).toContain(config.recordingsDir);
        // A node publishes to the one that holds the relay.
        const holds = config.roles.includes('supervisor');
        expect([config.relayHost, ports.relay]).toEqual(
          holds ? ['10.244.1.7', config.relayPort] : ['127.0.0.1', undefined],
        );
        expect(config.controlNetworks.length * config.nodeNetworks.length).toBeGreaterThan(0);
        expect(config.recordingsS3 !== undefined).toBe(name.includes('S3'));
      }
    });

  test('a node says of itself what Switchyard understands, at both addresses, and has these ports', () => {
    const env = environmentOf(all, nodeOf(all));
    const known = read('freeswitch', 'freeswitch.xml');
    const exported = [
      ...nodeOf(all)
        .args!.join('\n')
        .matchAll(/\b(SWITCHYARD_\w+)=/g),
    ].map((match) => match[1]!);
    expect(exported).toEqual(['SWITCHYARD_NODE_PASSWORD']);
    for (const variable of [...Object.keys(env), ...exported].filter((each) => each.startsWith('SWITCHYARD_')))
      expect(known).toContain(`$${variable}"`);
    const urls = [new URL(env.SWITCHYARD_XML_URL!), new URL(env.SWITCHYARD_XML_URL_2!)];
    expect(urls.map((url) => url.pathname)).toEqual(['/freeswitch/xml', '/freeswitch/xml']);
    expect(urls[1]!.search).toBe(urls[0]!.search); // another address would be another node
    const address = readNodeAddress(`${urls[0]!.pathname}${urls[0]!.search}`)!;
    expect(address).toMatchObject({ host: '192.0.2.11', zone: '', capacityUnits: 100 });
    expect(address.wsUrl).toBe(isFilledIn ? 'wss://switchyard-node-1.media.example.org' : null);
    expect(Object.fromEntries(nodeOf(all).ports!.map((port) => [port.name, port.containerPort]))).toEqual({
      esl: address.eslPort,
      sip: address.sipPort,
      'sip-udp': address.sipPort,
      internode: address.internodePort,
      'internode-udp': address.internodePort,
      ws: address.wsPort,
    });
    expect(urls[0]!.searchParams.get('rtp')).toBe(`${env.SWITCHYARD_RTP_FROM}-${env.SWITCHYARD_RTP_TO}`);
    expect(Number(env.SWITCHYARD_RTP_TO)).toBeLessThan(30_000); // where NodePorts begin
  });

  test('every address of Switchyard is a Service, at its port, of replicas that listen there', () => {
    const urls = [nodePod(all)].flatMap((spec) =>
      containersOf(spec).flatMap((container) =>
        Object.entries(environmentOf(all, container)).filter(([, value]) => value.startsWith('http://')),
      ),
    );
    expect(urls.map(([variable]) => variable).sort()).toEqual([
      'SWITCHYARD_URL',
      'SWITCHYARD_URL',
      'SWITCHYARD_URL',
      'SWITCHYARD_XML_URL',
      'SWITCHYARD_XML_URL_2',
    ]);
    for (const [, text] of urls) {
      const { hostname, port } = new URL(text);
      const service = all.find((each) => each.kind === 'Service' && each.metadata.name === hostname)!;
      const { targetPort } = service.spec.ports!.find((each) => each.port === Number(port))!;
      const chosen = podsOf(all).filter(({ labels }) => isChosen(service.spec.selector, labels));
      expect(chosen.map(({ owner }) => owner.metadata.name)).toEqual(['switchyard-api']);
      const listens = chosen[0]!.spec.containers[0]!.ports!.find((each) => each.name === targetPort)!;
      expect(String(listens.containerPort)).toBe(environmentOf(all, chosen[0]!.spec.containers[0]!).HTTP_PORT);
    }
  });

  test('selectors match the labels of their own pods and of no others; budgets and Services of some', () => {
    for (const { owner, labels } of podsOf(all)) {
      const mine = podsOf(all).filter((other) => isChosen(owner.spec.selector!.matchLabels, other.labels));
      expect(mine.map((other) => other.labels)).toEqual([labels]);
    }
    for (const { kind, metadata, spec } of all) {
      if (kind !== 'Service' && kind !== 'PodDisruptionBudget') continue;
      const selector = kind === 'Service' ? spec.selector : spec.selector!.matchLabels;
      const chosen = podsOf(all).filter(({ labels }) => isChosen(selector, labels));
      expect([metadata.name, chosen.length]).toEqual([metadata.name, 1]);
      for (const { targetPort } of spec.ports ?? [])
        expect(chosen[0]!.spec.containers.flatMap((c) => c.ports ?? []).map((p) => p.name)).toContain(targetPort);
    }
    const set = all.find((each) => each.kind === 'StatefulSet')!;
    expect(all.some((each) => each.kind === 'Service' && each.metadata.name === set.spec.serviceName)).toBe(true);
  });

  test('every key, map, claim and volume that a pod names is there, and everything is in one namespace', () => {
    for (const container of everything) expect(() => environmentOf(all, container)).not.toThrow();
    for (const { owner, spec } of podsOf(all)) {
      const own = owner.spec.volumeClaimTemplates?.map((claim) => claim.metadata.name) ?? [];
      const volumes = [...own, ...(spec.volumes ?? []).map((volume) => volume.name)];
      for (const container of containersOf(spec))
        for (const mount of container.volumeMounts ?? []) expect(volumes).toContain(mount.name);
      for (const { configMap, persistentVolumeClaim } of spec.volumes ?? []) {
        const keys = configMap ? Object.keys(dataOf(all, 'ConfigMap', configMap.name)) : [];
        for (const item of configMap?.items ?? []) expect(keys).toContain(item.key);
        const claim = persistentVolumeClaim?.claimName;
        if (claim) expect(all.some((r) => r.kind === 'PersistentVolumeClaim' && r.metadata.name === claim)).toBe(true);
      }
    }
    const spaces = all.map(({ kind, metadata }) => (kind === 'Namespace' ? metadata.name : metadata.namespace));
    expect([...new Set(spaces)]).toEqual(['switchyard']);
  });

  test('probes ask at ports that the container has', () => {
    for (const container of everything)
      for (const probe of [container.startupProbe, container.readinessProbe, container.livenessProbe]) {
        if (!probe) continue;
        const port = probe.httpGet?.port ?? probe.tcpSocket?.port;
        expect((container.ports ?? []).map((each) => each.name)).toContain(port);
      }
  });

  test('a node has exactly the files of freeswitch/, where they include each other', () => {
    const volume = nodePod(all).volumes!.find((each) => each.configMap)!.configMap!;
    const data = dataOf(all, 'ConfigMap', volume.name);
    const files = ['', 'autoload_configs/'].flatMap((path) =>
      readdirSync(join(root, 'freeswitch', path))
        .filter((file) => file.endsWith('.xml'))
        .map((file) => path + file),
    );
    expect(volume.items!.map((item) => item.path).sort()).toEqual(files.sort());
    for (const item of volume.items!) expect(data[item.key]).toBe(read('freeswitch', item.path));
    const mount = nodeOf(all).volumeMounts!.find((each) => each.name === 'freeswitch')!;
    expect(mount.mountPath).toBe('/etc/freeswitch');
  });

  test('a node is stopped only when it is drained; the key for that is in another container than FreeSWITCH', () => {
    const spec = nodePod(all);
    const pool = spec.containers.find((container) => container.name === 'pool')!;
    const env = environmentOf(all, pool);
    expect(nodeOf(all).lifecycle!.preStop!.exec!.command.at(-1)).toContain(`[ ! -e ${env.DRAIN_DIR}/empty ]`);
    for (const container of [pool, nodeOf(all)])
      expect(container.volumeMounts).toContainEqual(
        expect.objectContaining({ name: 'drain', mountPath: env.DRAIN_DIR }),
      );
    expect(spec.terminationGracePeriodSeconds).toBeGreaterThan(Number(env.DRAIN_DEADLINE_SECONDS));
    const programs = everything.flatMap((c) => [...(c.command ?? []), ...(c.lifecycle?.preStop?.exec?.command ?? [])]);
    const ours = programs.filter((word) => word.startsWith('dist/'));
    expect(ours).toHaveLength(4);
    for (const file of ours) expect(existsSync(join(root, file.replace(/^dist\/(.*)\.js$/, '$1.ts')))).toBe(true);
    const keys = (nodeOf(all).env ?? []).flatMap((each) => each.valueFrom?.secretKeyRef?.key ?? []);
    expect([keys, nodeOf(all).envFrom]).toEqual([[], undefined]); // nothing that lets another node in, and no key
    const withToken = containersOf(nodePod(all)).filter((c) =>
      c.env?.some(({ name: each }) => each === 'NODE_JOIN_TOKEN'),
    );
    expect(withToken.map((c) => c.name)).toEqual(['enrol']);
    expect(nodePod(all).initContainers!.map((c) => c.name)).toContain('enrol'); // ended before FreeSWITCH starts
    if (isFilledIn)
      expect(env.SWITCHYARD_API_KEY).toBe(readConfig(environmentOf(all, replicasOf(all)[0]!)).bootstrapApiKey);
  });

  test('no two things want one port of a host, and every image is pinned to a version', () => {
    for (const { spec } of podsOf(all).filter((pod) => pod.spec.hostNetwork)) {
      const ports = spec.containers
        .flatMap((c) => c.ports ?? [])
        .map((p) => `${p.containerPort}/${p.protocol ?? 'TCP'}`);
      expect(new Set(ports).size).toBe(ports.length);
    }
    for (const { image } of everything) expect(imageTag(image)).toMatch(/^\d+\.\d+/);
    const images = [...new Set(everything.map(({ image }) => image.replace(/:.*/, '')))].sort();
    const mine = isFilledIn ? 'registry.example.org/switchyard' : 'switchyard';
    expect(images).toEqual([...(isFilledIn ? ['coturn/coturn'] : []), mine, 'safarov/freeswitch'].sort());
  });

  if (isFilledIn)
    test('coturn listens where browsers are sent, and is set up as in docker-compose.yml', () => {
      const coturn = everything.find((container) => container.name === 'coturn')!;
      const env = environmentOf(all, coturn);
      const options = coturn.args!.map((text) => text.replace(/\$\((\w+)\)/g, (_all, other: string) => env[other]!));
      const config = readConfig(environmentOf(all, replicasOf(all)[0]!));
      expect(options).toContain(`--static-auth-secret=${config.turnSecret}`);
      expect(options).toContain(`--allowed-peer-ip=${env.TURN_PEERS}`);
      for (const url of [...config.turnUrls, ...config.stunUrls])
        expect(options).toContain(`--listening-port=${/:(\d+)(\?|$)/.exec(url)![1]}`);
      const compose = parse(read('docker-compose.yml'), { merge: true }) as { services: Record<string, Container> };
      const fixed = (list: string[]): string[] => list.filter((text) => !text.includes('$') && !/port=/.test(text));
      expect(fixed(coturn.args!)).toEqual(fixed(compose.services.coturn!.command!));
    });
}
