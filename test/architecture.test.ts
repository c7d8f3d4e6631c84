/** Holds the shape of the code: who may import whom, what has one owner, and what no file may contain. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { PUBLIC_FILES } from './domains/public-files';

const root = resolve(__dirname, '..');
/** What git holds or would hold: never build output or packages. */
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: root })
  .toString()
  .split('\n')
  .filter((file) => file && existsSync(join(root, file)) && statSync(join(root, file)).isFile());
const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const sources = files.filter((file) => /^(src|migrations|scripts|test)\/.*\.ts$/.test(file) && !file.endsWith('.d.ts'));

function importsOf(file: string): string[] {
  const found = read(file).matchAll(/(?:from|import|require)\s*\(?\s*'([^']+)'/g);
  return [...found].map((match) => match[1]!);
}

/** A path inside the project without its ending, or the package's name. */
function targetOf(file: string, name: string): string {
  return name.startsWith('.') ? relative(root, resolve(root, dirname(file), name)) : name;
}

/** Floors from the roof down: a file may import its own floor and what lies below. */
const FLOORS = ['main', 'http', 'domains', 'freeswitch', 'infra', 'ground'];

function floorOf(path: string): string | undefined {
  if (/^src\/(config|errors)(\.ts)?$/.test(path)) return 'ground';
  if (/^src\/main(\.ts|\/.*)?$/.test(path)) return 'main';
  return /^src\/(http|domains|freeswitch|infra|web)(\/|$)/.exec(path)?.[1];
}

const edges = sources.flatMap((file) => importsOf(file).map((name) => ({ file, to: targetOf(file, name) })));
const show = (list: { file: string; to: string }[]): string[] => list.map(({ file, to }) => `${file} → ${to}`);

test('imports run downward only', () => {
  const upward = edges.filter(({ file, to }) => {
    const from = FLOORS.indexOf(floorOf(file) ?? '');
    const below = FLOORS.indexOf(floorOf(to) ?? '');
    return from >= 0 && below >= 0 && below < from;
  });
  expect(show(upward)).toEqual([]);
});

test('the simulator stands apart: it reads the wire, and of Switchyard only what every program needs', () => {
  const allowed = /^src\/(infra\/logger|address|freeswitch\/xml\/document)(\.ts)?$/;
  const intoTheHouse = edges.filter(
    ({ file, to }) => file.startsWith('scripts/simulator/') && to.startsWith('src/') && !allowed.test(to),
  );
  expect(show(intoTheHouse)).toEqual([]);
});

const domainOf = (path: string): string | undefined => /^src\/domains\/([^/]+)\//.exec(path)?.[1];
/** Imports of a domain's files by anybody in src who is no part of it; a folder's name stands for its index. */
const intoDomains = edges.flatMap(({ file, to }) => {
  const path = existsSync(join(root, `${to}.ts`)) ? to : `${to}/index`;
  const domain = domainOf(`${path}.ts`);
  return file.startsWith('src/') && domain && domainOf(file) !== domain ? [{ file, path, domain }] : [];
});

test('domains know each other only through the files in test/domains/public-files.ts', () => {
  const inside = intoDomains.filter(({ path, domain }) => !PUBLIC_FILES.get(domain)?.includes(path));
  const faults = inside.map(
    ({ file, path, domain }) =>
      `${file} imports ${path}, which is the inside of ${domain}. Take it from a public file of ${domain}; if none has it, let main hand it in, or export it from one. Name a new public file in test/domains/public-files.ts only if neither will do.`,
  );
  expect(faults).toEqual([]);
});

test('no file is public that nobody outside its domain imports', () => {
  const used = new Set(intoDomains.map(({ path }) => path));
  const unused = [...PUBLIC_FILES.values()].flat().filter((path) => !used.has(path));
  expect(unused.map((path) => `${path}: take it out of test/domains/public-files.ts`)).toEqual([]);
});

/** Files that import each other, by however many steps; an import of types alone counts. */
function cyclesUnder(folder: string): string[] {
  const next = new Map<string, string[]>();
  for (const { file, to } of edges.filter((edge) => edge.file.startsWith(folder))) {
    const target = [`${to}.ts`, `${to}/index.ts`].find(
      (path) => path.startsWith(folder) && existsSync(join(root, path)),
    );
    if (target) next.set(file, [...(next.get(file) ?? []), target]);
  }
  const reached = (from: string): Set<string> => {
    const seen = new Set<string>();
    const open = [...(next.get(from) ?? [])];
    for (let file = open.pop(); file; file = open.pop()) {
      if (seen.has(file)) continue;
      seen.add(file);
      open.push(...(next.get(file) ?? []));
    }
    return seen;
  };
  return [...next.keys()].filter((file) => reached(file).has(file));
}

test.each(['scripts/simulator/'])('no file of %s is in a cycle of imports, of types alone neither', (folder) => {
  expect(cyclesUnder(folder)).toEqual([]);
});

test('src imports neither scripts nor tests', () => {
  const outward = edges.filter(({ file, to }) => file.startsWith('src/') && /^(scripts|test)\//.test(to));
  expect(show(outward)).toEqual([]);
});

test('freeswitch knows no database, queue or domain room', () => {
  const known = edges.filter(
    ({ file, to }) =>
      file.startsWith('src/freeswitch/') && /^(knex|pg|bullmq|ioredis|express|src\/(infra\/stores|domains))/.test(to),
  );
  expect(show(known)).toEqual([]);
});

test.each([
  ['modesl', /^src\/freeswitch\/esl\/connection\/transport\.ts$/],
  ['xmlbuilder2', /^src\/freeswitch\/xml\/document\.ts$/],
  ['bullmq', /^src\/infra\//],
  ['knex', /^(src\/infra\/|migrations\/|src\/.*\.store\.ts$)/],
])('%s is imported by its owner only', (name, owner) => {
  const importers = edges.filter(({ to }) => to === name || to.startsWith(`${name}/`)).map(({ file }) => file);
  expect(importers.filter((file) => file.startsWith('src/') && !owner.test(file))).toEqual([]);
});

test('legs are ended by hangupLegs, queued calls by endQueued, and by nothing else', () => {
  const says = (pattern: RegExp, owner: RegExp): string[] =>
    sources.filter((file) => file.startsWith('src/') && !owner.test(file) && pattern.test(withoutComments(read(file))));
  expect(says(/killChannel|uuid_kill/, /^src\/freeswitch\/esl\/commands\/(commands|hang-up-legs)\.ts$/)).toEqual([]);
  expect(says(/kind: 'never_placed'/, /^src\/domains\/calls\/(dialing\/dial\.job|events\/call-facts)\.ts$/)).toEqual(
    [],
  );
});

/** Where knex or a text asks the database: a table by its name, a clause, or a statement as a text. */
const SQL = [
  /\b(db|trx|tx|knex|pool)(<[^>]*>)?\(\s*['"`]/,
  /\.(raw|where(Raw|In|Not|NotIn|Null|NotNull|Exists|NotExists|Between)?|forUpdate|onConflict|returning)\(/,
  /['"`]\s*(select|insert into|delete from|with \w+ as|update \w+ set)\s/i,
];
const withoutComments = (text: string): string => text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');

test('SQL stands in *.store.ts and infra/stores, and nowhere else', () => {
  const owner = /^src\/(infra\/stores\/|.*\.store\.ts$)/;
  const others = sources.filter((file) => file.startsWith('src/') && !owner.test(file));
  const faults = others.filter((file) => SQL.some((pattern) => pattern.test(withoutComments(read(file)))));
  expect(faults).toEqual([]);
});

test('no file is longer than 400 lines, and each begins by saying why it exists', () => {
  const faults = sources.flatMap((file) => {
    const text = read(file);
    const lines = text.trimEnd().split('\n').length;
    return [
      ...(lines > 400 ? [`${file}: ${lines} lines`] : []),
      ...(file.endsWith('.test.ts') || /^(#!.*\n)?\/\*\*/.test(text) ? [] : [`${file}: no header comment`]),
    ];
  });
  expect(faults).toEqual([]);
});

/**
 * Above this a folder needs chapters; migrations are one list in order, and fixtures are recorded, not written. A folder's
 * README is not counted: it helps to find the others.
 */
const MOST_SIBLINGS = 12;

test('no folder has more than a dozen files beside each other', () => {
  const siblings = new Map<string, number>();
  const counted = files.filter(
    (name) => /^(src|scripts|test)\//.test(name) && !/^test\/fixtures\/|\/README\.md$/.test(name),
  );
  for (const file of counted) siblings.set(dirname(file), (siblings.get(dirname(file)) ?? 0) + 1);
  const crowded = [...siblings].filter(([, count]) => count > MOST_SIBLINGS);
  expect(crowded.map(([folder, count]) => `${folder}: ${count}`)).toEqual([]);
});

test('nothing is exported without a name, but for what jest wants so', () => {
  const allowed = ['test/global-setup.ts', 'test/global-teardown.ts'];
  const faults = sources.filter((file) => /^export default /m.test(read(file)) && !allowed.includes(file));
  expect(faults).toEqual([]);
});

/** Names and acronyms keep their capital. */
const BEGINS_AS_A_SENTENCE_IN_PRINT =
  /^\s*(?:test(?:\.skip)?|[\]})]*\))\(\s*['"`](?!Redis|Postgres|Switchyard|FreeSWITCH|Ctrl|WebSocket|JsSIP|Chromium|Kubernetes|Docker|Prometheus|OpenAPI|Express|Unicode|Call-ID|Contact|From|Node|Debian|Authorization|Idempotency|Content|X-|I |Ann|Bert|Bob|Cara|Zoë|Dora)[A-Z][^A-Z0-9-]/m;

test('tests are `test`, and their titles are sentences in one style: small at the beginning', () => {
  const tests = files.filter((file) => /^test\/.*\.(test|contract)\.ts$/.test(file));
  expect(tests.filter((file) => /^\s*it(\.each|\.skip)?[(`]/m.test(read(file)))).toEqual([]);
  expect(tests.filter((file) => BEGINS_AS_A_SENTENCE_IN_PRINT.test(read(file)))).toEqual([]);
});

test('every file that a comment names exists', () => {
  const known = new Set(sources.map((file) => `/${file}`));
  const exists = (name: string): boolean => [...known].some((file) => file.endsWith(`/${name}`));
  const faults = sources.flatMap((file) => {
    const comments = read(file).match(/\/\*[^]*?\*\/|^\s*\/\/.*$/gm) ?? [];
    const names = comments.flatMap((text) => text.match(/[\w-][\w./-]*\.ts\b/g) ?? []);
    return names.filter((name) => !exists(name)).map((name) => `${file}: ${name}`);
  });
  expect(faults).toEqual([]);
});

test('no new top-level folder', () => {
  const folders = [...new Set(files.filter((file) => file.includes('/')).map((file) => file.split('/')[0]))].sort();
  expect(folders).toEqual(['.ci', 'freeswitch', 'migrations', 'scripts', 'src', 'test'].sort());
});

test('no file tells of the machine it was written on', () => {
  // Put together here, so that this file does not find itself.
  const paths = ['work', 'opt/freeswitch', 'home/', 'Users/'].map((name) => `/${name}`);
  const pattern = new RegExp(
    `(^|[\\s"'\`(=:])(${paths.join('|')})(?![a-z-])|registry\\.[a-z]+\\.(internal|local)`,
    'm',
  );
  const faults = files.filter((file) => !/\.(png|jpg|ico|wav|json\.gz)$/.test(file) && pattern.test(read(file)));
  expect(faults).toEqual([]);
});
