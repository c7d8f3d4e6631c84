/** The READMEs hold: files and links that they name exist, journeys are short, and the first page stays one. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

const root = resolve(__dirname, '..', '..');
const pages = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.md'], { cwd: root })
  .toString()
  .split('\n')
  .filter((page) => page && existsSync(join(root, page)));
const read = (page: string): string => readFileSync(join(root, page), 'utf8');

/** As GitHub makes an anchor of a heading. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(' ', '-');
const anchorsOf = (text: string): string[] =>
  [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => anchorOf(heading!));

/**
 * Whole paths from the root of the project, and files by their path from the page's own folder. The page of threats names tests
 * in its own way, which scripts.test.ts holds.
 */
const namedFiles = (page: string): string[] =>
  page === 'test/e2e/security/README.md'
    ? []
    : [...read(page).matchAll(/`((?:[\w.-]+\/)*[\w.-]+\.(?:ts|js|nft)|(?:src|scripts|test|migrations)\/[\w./-]+)`/g)]
        .map(([, path]) => path!)
        .filter((path) => path !== 'index.ts'); // of every domain

const MOST_README_LINES = 250;
const MOST_STEPS = 5;

test(`README.md has fewer than ${MOST_README_LINES} lines`, () => {
  expect(read('README.md').trimEnd().split('\n').length).toBeLessThan(MOST_README_LINES);
});

test('every file that a page names exists', () => {
  const missing = pages.flatMap((page) =>
    namedFiles(page)
      .filter((path) => ![root, join(root, dirname(page))].some((folder) => existsSync(join(folder, path))))
      .map((path) => `${page}: ${path}`),
  );
  expect(namedFiles('README.md').length).toBeGreaterThan(20);
  expect(missing).toEqual([]);
});

test('every link between pages leads to a file and a heading that exist', () => {
  const broken = pages.flatMap((page) =>
    [...read(page).matchAll(/\]\((?!https?:)([^)\s]+)\)/g)].flatMap(([, link]) => {
      const [path = '', anchor] = link!.split('#');
      const file = path === '' ? page : join(dirname(page), path);
      if (!existsSync(join(root, file))) return [`${page}: ${link}`];
      return anchor === undefined || anchorsOf(read(file)).includes(anchor) ? [] : [`${page}: ${link}`];
    }),
  );
  expect(broken).toEqual([]);
});

test('a page outside the first one can be reached by links from it', () => {
  const seen = new Set<string>(['README.md']);
  for (const page of seen)
    for (const [, link] of read(page).matchAll(/\]\((?!https?:)([^)#\s]+\.md)/g)) seen.add(join(dirname(page), link!));
  expect(pages.filter((page) => !seen.has(page))).toEqual([]);
});

test(`each journey names one file a step, in at most ${MOST_STEPS} steps, and no file twice`, () => {
  const text = read('README.md');
  const chapter = text.slice(text.indexOf('## Three journeys'), text.indexOf('## Decisions'));
  const journeys = chapter.split(/^### /m).slice(1);
  expect(journeys).toHaveLength(3);
  for (const journey of journeys) {
    const steps = journey.split('\n').filter((line) => /^\d+\. /.test(line));
    const files = steps.map((step) => /^\d+\. `([^`]+\.ts)`/.exec(step)?.[1]);
    expect(files).not.toContain(undefined);
    expect(new Set(files).size).toBe(steps.length);
    expect(steps.length).toBeLessThanOrEqual(MOST_STEPS);
  }
});
