/** The house terms of src/README.md, held in what users read: pages, errors, OpenAPI texts and lines of the commands. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import ts from 'typescript';

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

const READ_ALOUD = new Set(['summary', 'description', 'title', 'fix', 'detail']);
const CALLS = /(?:\.(?:describe|refine|regex|min|max)|^(?:say|print|nameTaken|console\.(?:log|error))|\.say)$/;

function isReadByUsers(node: ts.Node): boolean {
  for (let at = node.parent; !ts.isBlock(at) && !ts.isSourceFile(at); at = at.parent) {
    if (ts.isNewExpression(at) && /Error$|Fault$/.test(at.expression.getText())) return true;
    if (ts.isCallExpression(at) && CALLS.test(at.expression.getText())) return true;
    if (ts.isPropertyAssignment(at) && READ_ALOUD.has(at.name.getText())) return true;
  }
  return false;
}

/** Every text of the file that ends in an answer, a document or a terminal. */
function textsOf(file: string): string[] {
  const source = ts.createSourceFile(file, readFileSync(join(root, file), 'utf8'), ts.ScriptTarget.Latest, true);
  const texts: string[] = [];
  const visit = (node: ts.Node): void => {
    const isText = ts.isStringLiteralLike(node) || ts.isTemplateExpression(node);
    if (isText && /\s/.test(node.getText()) && isReadByUsers(node))
      texts.push(
        node
          .getText()
          .replaceAll(/\$\{[^}]*\}/g, '…')
          .replaceAll(/\s+/g, ' '),
      );
    else ts.forEachChild(node, visit);
  };
  visit(source);
  return texts;
}

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

test('errors, OpenAPI texts and lines of the commands use the house terms', () => {
  const files = listFiles('src/**/*.ts', 'scripts/**/*.ts').filter(
    (file) => !/^scripts\/(?:simulator|bench)\//.test(file),
  );
  const texts = files.flatMap((file) => textsOf(file).map((text) => [file, text] as const));
  expect(texts.length).toBeGreaterThan(500);
  expect(texts.flatMap(([file, text]) => faultsIn(text).map((fault) => `${file}: ${fault}`))).toEqual([]);
});
