/** The house terms of src/README.md, held in what users read: pages. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const root = resolve(__dirname, '..', '..');
const listFiles = (...patterns: string[]): string[] =>
  execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', ...patterns], { cwd: root })
    .toString()
    .split('\n')
    .filter((file) => file && existsSync(join(root, file)));

/** What readers stumbled over, and what src/README.md has in its place. */
const UNWANTED: readonly (readonly [RegExp, string])[] = [
  [/\banew\b/i, 'again'],
  [/\bcan not\b|\bcannot\b/i, "can't"],
  [/\bis no fault\b/i, 'idempotent'],
  [/\bbut for\b/i, 'except'],
  [/\bbrought about\b|\bbring about\b/i, 'applied'],
  [/\bwish(?:es|ed)?\b/i, 'desired'],
  [/\b(?:is|are|was) (?:over|no more)\b/i, 'ended, expired, revoked'],
  [/\bout of reach\b/i, 'unavailable'],
  [/\bby now\b|\bmeanwhile\b/i, 'say when'],
  [/\b(?:is|are) told (?!to\b)|\btells?\b/i, 'reports, is notified, returns'],
  [/\bso long\b/i, 'this long'],
  [/\bmakes? good\b|\b(?:take|took|takes|taken) in\b/i, 'the verb of the field'],
  [/(?:^|[.:?!] |["'`|] ?)Who(?:ever)? (?:is|has|gets|asks|can)\b(?![^.|]*\?)/, 'a noun as the subject'],
  [/\bpictures?\b(?!\.)/i, 'image, video or snapshot'],
  [/\bis needed\b/i, 'is required'],
  [/\bthere is (?:nothing|none) at\b/i, 'no such …'],
  [/\bdoors?\b/i, 'endpoint, listener'],
];

const faultsIn = (text: string): string[] =>
  UNWANTED.filter(([pattern]) => pattern.test(text)).map(([, better]) => `${text.trim().slice(0, 160)} → ${better}`);

/** Code and names are what they are; only prose is held. */
const proseOf = (page: string): string[] =>
  page
    .replaceAll(/```[^]*?```/g, '')
    .replaceAll(/`[^`]*`/g, '``')
    .split('\n');

test('pages use the house terms', () => {
  // The list itself names what it does without.
  const pages = listFiles('*.md').filter((page) => page !== 'src/README.md');
  const faults = pages.flatMap((page) =>
    proseOf(readFileSync(join(root, page), 'utf8')).flatMap((line) =>
      faultsIn(line).map((fault) => `${page}: ${fault}`),
    ),
  );
  expect(faults).toEqual([]);
});
