/** Renders scripts/kubernetes with kubectl's own kustomize, and reads it as the kubelet would: for test/kubernetes/kubernetes.test.ts. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseAllDocuments } from 'yaml';

export const root = resolve(__dirname, '..', '..');

type Labels = Record<string, string>;
interface KeyRef {
  name: string;
  key: string;
}
export interface Env {
  name: string;
  value?: string;
  valueFrom?: { secretKeyRef?: KeyRef; configMapKeyRef?: KeyRef; fieldRef?: { fieldPath: string } };
}
export interface Probe {
  httpGet?: { path: string; port: string | number };
  tcpSocket?: { port: string | number };
}
export interface Container {
  name: string;
  image: string;
  command?: string[];
  args?: string[];
  env?: Env[];
  envFrom?: { secretRef?: { name: string }; configMapRef?: { name: string } }[];
  ports?: { name: string; containerPort: number; protocol?: string }[];
  volumeMounts?: { name: string; mountPath: string; readOnly?: boolean; subPath?: string }[];
  startupProbe?: Probe;
  readinessProbe?: Probe;
  livenessProbe?: Probe;
  lifecycle?: { preStop?: { exec?: { command: string[] } } };
  securityContext?: SecurityContext;
}
export interface SecurityContext {
  runAsNonRoot?: boolean;
  runAsUser?: number;
  allowPrivilegeEscalation?: boolean;
  readOnlyRootFilesystem?: boolean;
  capabilities?: { drop?: string[]; add?: string[] };
  seccompProfile?: { type: string };
}
interface PolicyRule {
  ports: { port: string }[];
  from?: { ipBlock?: { cidr: string }; namespaceSelector?: { matchLabels: Labels } }[];
}
export interface Volume {
  name: string;
  configMap?: { name: string; items?: { key: string; path: string }[] };
  secret?: { secretName: string };
  persistentVolumeClaim?: { claimName: string };
  emptyDir?: object;
}
export interface PodSpec {
  securityContext?: SecurityContext;
  automountServiceAccountToken?: boolean;
  hostNetwork?: boolean;
  terminationGracePeriodSeconds?: number;
  initContainers?: Container[];
  containers: Container[];
  volumes?: Volume[];
}
export interface Resource {
  kind: string;
  metadata: { name: string; namespace?: string; labels?: Labels };
  data?: Record<string, string>;
  spec: {
    selector?: Labels & { matchLabels?: Labels };
    ports?: { name: string; port: number; targetPort: string | number }[];
    serviceName?: string;
    podSelector?: { matchLabels?: Labels };
    ingress?: PolicyRule[];
    policyTypes?: string[];
    volumeClaimTemplates?: { metadata: { name: string } }[];
    template?: { metadata: { labels: Labels }; spec: PodSpec };
  };
}

/** A copy of what an operator has, with secrets filled in (or not yet); `s3` takes in that component as well. */
export function layOut(o: { s3?: boolean; secrets?: boolean } = {}): { dir: string; remove(): void } {
  const dir = mkdtempSync(join(tmpdir(), 'switchyard-kubernetes-'));
  for (const folder of ['freeswitch', 'scripts/kubernetes'])
    cpSync(join(root, folder), join(dir, folder), { recursive: true });
  const kubernetes = join(dir, 'scripts', 'kubernetes');
  const secrets = readFileSync(join(kubernetes, 'base', 'secrets.env.example'), 'utf8')
    .replace('DATABASE_URL=\n', 'DATABASE_URL=postgres://switchyard:secret@postgres.example.org:5432/switchyard\n')
    .replace('REDIS_URL=\n', 'REDIS_URL=redis://:secret@redis.example.org:6379\n')
    .replace('SWITCHYARD_SECRET=\n', `SWITCHYARD_SECRET=${Buffer.alloc(32, 1).toString('base64')}\n`)
    .replace(/^(S3_\w+)=$/gm, o.s3 ? '$1=key' : '$1=')
    .replace(/^((?:NODE|BOOTSTRAP|TURN)_\w+)=$/gm, `$1=${'x'.repeat(32)}`);
  if (o.secrets ?? true) writeFileSync(join(kubernetes, 'example', 'secrets.env'), secrets);
  if (o.s3) {
    const file = join(kubernetes, 'example', 'kustomization.yaml');
    writeFileSync(file, readFileSync(file, 'utf8').replace(/^# - \.\.\/recordings-s3$/m, '  - ../recordings-s3'));
    const settings = join(kubernetes, 'example', 'settings.env');
    writeFileSync(settings, 'S3_ENDPOINT=https://s3.example.org\nS3_BUCKET=recordings\n', { flag: 'a' });
  }
  return { dir, remove: () => rmSync(dir, { recursive: true, force: true }) };
}

/** @throws with what kustomize says */
export function render(kubectl: string, folder: string): Resource[] {
  const text = execFileSync(kubectl, ['kustomize', folder], { encoding: 'utf8', stdio: 'pipe', timeout: 120_000 });
  return parseAllDocuments(text).map((document) => {
    if (document.errors.length > 0) throw document.errors[0]!;
    return document.toJS() as Resource;
  });
}

/** Secrets are kept in base64. */
export function dataOf(all: readonly Resource[], kind: 'ConfigMap' | 'Secret', name: string): Record<string, string> {
  const found = all.find((resource) => resource.kind === kind && resource.metadata.name === name);
  if (!found) throw new Error(`There is no ${kind} ${name}.`);
  const read = (value: string): string => (kind === 'Secret' ? Buffer.from(value, 'base64').toString('utf8') : value);
  return Object.fromEntries(Object.entries(found.data ?? {}).map(([key, value]) => [key, read(value)]));
}

/** What a pod is told of itself. */
const FIELDS: Record<string, string> = {
  'metadata.name': 'switchyard-node-1',
  'status.hostIP': '192.0.2.11',
  'status.podIP': '10.244.1.7',
};

/** As the kubelet does it: first whole maps, then the list in its order, in which a name stands for what came before. */
export function environmentOf(all: readonly Resource[], container: Container): Record<string, string> {
  const env: Record<string, string> = {};
  for (const { configMapRef, secretRef } of container.envFrom ?? []) {
    if (configMapRef) Object.assign(env, dataOf(all, 'ConfigMap', configMapRef.name));
    if (secretRef) Object.assign(env, dataOf(all, 'Secret', secretRef.name));
  }
  for (const { name, value, valueFrom } of container.env ?? []) {
    const { secretKeyRef, configMapKeyRef, fieldRef } = valueFrom ?? {};
    const found = secretKeyRef
      ? dataOf(all, 'Secret', secretKeyRef.name)[secretKeyRef.key]
      : configMapKeyRef
        ? dataOf(all, 'ConfigMap', configMapKeyRef.name)[configMapKeyRef.key]
        : fieldRef
          ? FIELDS[fieldRef.fieldPath]
          : (value ?? '').replace(/\$\(([A-Za-z_]\w*)\)/g, (whole, other: string) => env[other] ?? whole);
    if (found === undefined) throw new Error(`${container.name}: nothing is known for ${name}.`);
    env[name] = found;
  }
  return env;
}

export const podsOf = (all: readonly Resource[]): { owner: Resource; labels: Labels; spec: PodSpec }[] =>
  all.flatMap((owner) => {
    const template = owner.spec?.template;
    return template ? [{ owner, labels: template.metadata.labels, spec: template.spec }] : [];
  });

export const containersOf = (spec: PodSpec): Container[] => [...(spec.initContainers ?? []), ...spec.containers];

export const isChosen = (selector: Labels | undefined, labels: Labels): boolean =>
  Object.entries(selector ?? {}).every(([name, value]) => labels[name] === value);
