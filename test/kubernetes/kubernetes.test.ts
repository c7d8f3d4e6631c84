/** No cluster is at hand: at least the manifests render, hang together, and fit the code they start. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import request from 'supertest';
import { Registry } from 'prom-client';
import { join } from 'node:path';
import { parse } from 'yaml';
import { readPod } from '../../scripts/kubernetes/node-pod';
import { findProgram } from '../../scripts/stores/redis';
import { readConfig } from '../../src/config';
import { readNodeAddress } from '../../src/http/nodes/node-address';
import { createOperationsApp } from '../../src/http/operations';
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
} from './render';
import { describeUnless } from '../real-node';

const kubectl = findProgram('kubectl');
const read = (...path: string[]): string => readFileSync(join(root, ...path), 'utf8');

describeUnless(!kubectl && 'no kubectl found on PATH', 'scripts/kubernetes', () => theManifests(kubectl!));

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

  test('there are replicas of each role, and all of them are asked how they are at their port for operations', async () => {
    const roles = replicasOf(all).map((replica) => environmentOf(all, replica).ROLES!);
    expect(roles.sort()).toEqual(['api', 'supervisor', 'worker']);
    const well = (): Promise<{ store: true }> => Promise.resolve({ store: true });
    const operations = createOperationsApp({ replica: well, whole: well, metrics: new Registry() });
    for (const { startupProbe, readinessProbe, livenessProbe } of replicasOf(all))
      for (const { httpGet } of [startupProbe!, readinessProbe!, livenessProbe!]) {
        expect(httpGet!.port).toBe('operations');
        await request(operations).get(httpGet!.path!).expect(200);
      }
  });

  if (isFilledIn)
    test('with the secrets filled in, every replica reads its configuration', () => {
      for (const replica of replicasOf(all)) {
        const config = readConfig(environmentOf(all, replica));
        const ports = Object.fromEntries(replica.ports!.map((port) => [port.name, port.containerPort]));
        const serves = config.roles.includes('api');
        expect([ports.http, ports.nodes]).toEqual(
          serves ? [config.httpPort, config.nodesPort] : [undefined, undefined],
        );
        expect(ports.operations).toBe(config.operationsPort);
        expect(new Set([config.httpPort, config.nodesPort, config.operationsPort]).size).toBe(3);
        expect([config.httpHost, config.nodesHost, config.operationsHost]).toEqual(['0.0.0.0', '0.0.0.0', '0.0.0.0']);
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
      'SWITCHYARD_NODES_URL',
      'SWITCHYARD_NODES_URL',
      'SWITCHYARD_NODES_URL',
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
      // Nodes know of no other port.
      expect(String(listens.containerPort)).toBe(environmentOf(all, chosen[0]!.spec.containers[0]!).NODES_PORT);
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

  test('no pod but Switchyard’s own has its keys: a node is drained with its own secret, and stopped only then', () => {
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
    for (const container of containersOf(spec)) {
      const keys = (container.env ?? []).flatMap((each) => each.valueFrom?.secretKeyRef?.key ?? []);
      expect([container.name, keys, container.envFrom]).toEqual([
        container.name,
        container.name === 'enrol' ? ['NODE_JOIN_TOKEN'] : [],
        undefined,
      ]);
    }
    expect(nodePod(all).initContainers!.map((c) => c.name)).toContain('enrol'); // ended before FreeSWITCH starts
    // What it makes is what the others show, and they can't change it.
    expect(nodeOf(all).args!.join()).toContain(`cat ${env.NODE_SECRET_FILE}`);
    expect(pool.volumeMounts).toContainEqual({ name: 'kept', mountPath: '/kept', readOnly: true });
    const patience = { say: () => undefined, stopped: AbortSignal.abort(), lookMs: 1 };
    expect(() => readPod(env, patience)).not.toThrow();
  });

  test('nothing is root, gains a right, writes into its image, or has a capability but coturn its one', () => {
    for (const { spec } of podsOf(all)) {
      expect(spec.automountServiceAccountToken).toBe(false);
      for (const { name: container, securityContext } of containersOf(spec)) {
        const is = { ...spec.securityContext, ...securityContext };
        expect([container, is]).toEqual([
          container,
          expect.objectContaining({
            runAsNonRoot: true,
            runAsUser: container === 'coturn' ? 65_534 : 1000,
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            seccompProfile: { type: 'RuntimeDefault' },
            capabilities: { drop: ['ALL'], ...(container === 'coturn' ? { add: ['NET_BIND_SERVICE'] } : {}) },
          }),
        ]);
      }
    }
  });

  test('a node writes into its own volumes only, and what it writes is its own', () => {
    const script = nodeOf(all).args!.join('\n');
    expect(script).toMatch(/^umask 077\n/);
    const writable = nodeOf(all).volumeMounts!.filter((mount) => !mount.readOnly);
    const folders = [...script.matchAll(/ -(?:log|db|run|temp|storage|cache|scripts|certs|recordings) (\S+)/g)].map(
      (match) => match[1]!,
    );
    expect(folders).toHaveLength(9);
    for (const folder of folders)
      expect(writable.some(({ mountPath }) => folder.startsWith(`${mountPath}/`))).toBe(true);
  });

  test('every port of Switchyard is reached by whom it is for: the rest is refused', () => {
    const policies = all.filter(({ kind }) => kind === 'NetworkPolicy');
    const open = (component: string, port: string): unknown[] =>
      policies.flatMap(({ spec }): unknown[] =>
        (isChosen(spec.podSelector!.matchLabels, {
          'app.kubernetes.io/name': 'switchyard',
          'app.kubernetes.io/component': component,
        })
          ? (spec.ingress ?? [])
          : []
        ).flatMap((rule): unknown[] =>
          rule.ports.some((each) => each.port === port) ? (rule.from ?? ['everybody']) : [],
        ),
      );
    const closed = policies.find(({ spec }) => Object.keys(spec.podSelector ?? {}).length === 0)!;
    expect([closed.spec.policyTypes, closed.spec.ingress]).toEqual([['Ingress'], undefined]);
    const hosts = [{ ipBlock: { cidr: isFilledIn ? '192.0.2.0/24' : '0.0.0.0/0' } }];
    const prometheus = [{ namespaceSelector: { matchLabels: { 'switchyard/monitoring': 'true' } } }];
    expect(open('api', 'http')).toEqual(['everybody']);
    expect([open('api', 'nodes'), open('supervisor', 'relay')]).toEqual([hosts, hosts]);
    for (const component of ['api', 'worker', 'supervisor']) expect(open(component, 'operations')).toEqual(prometheus);
    expect([open('worker', 'http'), open('worker', 'nodes'), open('worker', 'relay')]).toEqual([[], [], []]);
    const named = policies.flatMap(({ spec }) => (spec.ingress ?? []).flatMap((rule) => rule.ports.map((p) => p.port)));
    const ports = replicasOf(all).flatMap((replica) => replica.ports!.map((port) => port.name));
    expect(new Set(named)).toEqual(new Set(ports));
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
      const config = readConfig(environmentOf(all, replicasOf(all)[0]!));
      expect([env.TURN_SECRET, env.TURN_PEERS]).toEqual([config.turnSecret, '192.0.2.10-192.0.2.20']);
      for (const url of [...config.turnUrls, ...config.stunUrls])
        expect(env.TURN_PORT).toBe(/:(\d+)(\?|$)/.exec(url)![1]);
      const compose = parse(read('docker-compose.yml'), { merge: true }) as { services: Record<string, Container> };
      const { command, entrypoint } = compose.services.coturn as Container & { entrypoint: string[] };
      // `$$` is how Docker's file writes a dollar.
      expect([coturn.command, coturn.args]).toEqual([entrypoint, command!.map((text) => text.replaceAll('$$', '$'))]);
      const { spec } = podsOf(all).find((pod) => pod.spec.containers.includes(coturn))!;
      const conf = spec.volumes!.find((volume) => volume.name === 'conf')!.configMap!.name;
      const text = read('scripts', 'kubernetes', 'turn', 'turnserver.conf');
      expect(dataOf(all, 'ConfigMap', conf)['turnserver.conf']).toBe(text);
    });
}
