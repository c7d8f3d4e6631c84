/** Reads dial strings as FreeSWITCH does, so that an escaping fault of ours shows here as it would on a real node. */

export interface Branch {
  endpoint: string;
  variables: Record<string, string>;
}

/** `{global}` variables, then branches: tried one after the other between `|`, at once between `,`. */
export interface DialString {
  variables: Record<string, string>;
  sequence: Branch[][];
}

const CLOSING: Record<string, string> = { '{': '}', '[': ']', '<': '>' };

/** Reads `{a=b,c='d e'}rest`: the block's variables and what stands behind it. */
function readBlock(text: string): { variables: Record<string, string>; rest: string } | undefined {
  const close = CLOSING[text[0] ?? ''];
  if (!close) return undefined;
  let depth = 0; // FreeSWITCH counts brackets without regard to quotes and escapes
  for (let i = 0; i < text.length; i += 1) {
    if (text[i] === text[0]) depth += 1;
    else if (text[i] === close && --depth === 0)
      return { variables: readVariables(text.slice(1, i)), rest: text.slice(i + 1) };
  }
  return undefined;
}

/** Splits at a character outside of quotes, brackets and escapes. */
function splitAt(text: string, separator: string, brackets = true): string[] {
  const parts: string[] = [];
  let part = '';
  let quoted = false;
  let depth = 0;
  for (let i = 0; i < text.length; i += 1) {
    const c = text[i]!;
    if (c === '\\' && i + 1 < text.length) {
      part += c + text[++i]!;
      continue;
    }
    if (c === "'") quoted = !quoted;
    if (brackets && !quoted && '{['.includes(c)) depth += 1;
    if (brackets && !quoted && '}]'.includes(c)) depth -= 1;
    if (c === separator && !quoted && depth <= 0) {
      parts.push(part);
      part = '';
    } else part += c;
  }
  return [...parts, part];
}

/** `a=b,c='d,e'` → values, each split adding its own cleaning, as FreeSWITCH does. */
function readVariables(text: string): Record<string, string> {
  const variables: Record<string, string> = {};
  for (const pair of splitAt(text, ',')) {
    const [name, ...rest] = splitAt(clean(pair, ','), '=');
    if (name && rest.length > 0) variables[name.trim()] = clean(rest.join('='), '=');
  }
  return variables;
}

const ESCAPES: Record<string, string> = { n: '\n', r: '\r', t: '\t', s: ' ' };

/** FreeSWITCH's cleaning after a split: one level of escapes resolved, paired quotes taken off, blanks trimmed. */
function clean(text: string, delimiter: string): string {
  let out = '';
  let kept = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i += 1) {
    const c = text[i]!;
    const next = text[i + 1];
    const literal = next !== undefined && `'"\\${delimiter}`.includes(next) ? next : next && ESCAPES[next];
    if (c === '\\' && literal) {
      out += literal;
      kept = out.length;
      i += 1;
    } else if (c === "'" && (quoted || text.includes("'", i + 1))) quoted = !quoted;
    else if (out !== '' || c !== ' ' || quoted) {
      out += c;
      if (c !== ' ' || quoted) kept = out.length;
    }
  }
  return out.slice(0, kept);
}

/** @returns undefined where a bracket is never closed */
export function parseDialString(text: string): DialString | undefined {
  let rest = text.trim();
  const variables: Record<string, string> = {};
  while (rest.startsWith('{')) {
    const block = readBlock(rest);
    if (!block) return undefined;
    Object.assign(variables, block.variables);
    rest = block.rest.trimStart();
  }
  const sequence = splitAt(rest, '|').map((group) => splitAt(group, ',').map(parseBranch));
  return { variables, sequence };
}

function parseBranch(text: string): Branch {
  let rest = text.trim();
  const variables: Record<string, string> = {};
  while (rest.startsWith('[') || rest.startsWith('{')) {
    const block = readBlock(rest);
    if (!block) break;
    Object.assign(variables, block.variables);
    rest = block.rest.trimStart();
  }
  return { endpoint: rest, variables };
}

/** Splits an API argument line into words; quotes and backslashes keep spaces, brackets don't. */
export function splitWords(line: string): string[] {
  return splitAt(line, ' ', false)
    .filter((word) => word !== '')
    .map((word) => clean(word, ' '));
}
