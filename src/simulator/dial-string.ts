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
function takeBlock(text: string): { variables: Record<string, string>; rest: string } | undefined {
  const close = CLOSING[text[0] ?? ''];
  if (!close) return undefined;
  let depth = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i += 1) {
    const c = text[i]!;
    if (c === '\\') i += 1;
    else if (c === "'") quoted = !quoted;
    else if (!quoted && c === text[0]) depth += 1;
    else if (!quoted && c === close && --depth === 0)
      return { variables: readVariables(text.slice(1, i)), rest: text.slice(i + 1) };
  }
  return undefined;
}

/** Splits at a character outside of quotes, brackets and escapes. */
function splitAt(text: string, separator: string): string[] {
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
    if (!quoted && '{[('.includes(c)) depth += 1;
    if (!quoted && '}])'.includes(c)) depth -= 1;
    if (c === separator && !quoted && depth <= 0) {
      parts.push(part);
      part = '';
    } else part += c;
  }
  return [...parts, part];
}

/** `a=b,c='d,e'` → values without their quotes and escapes. */
function readVariables(text: string): Record<string, string> {
  const variables: Record<string, string> = {};
  for (const pair of splitAt(text, ',')) {
    const at = pair.indexOf('=');
    if (at > 0) variables[pair.slice(0, at).trim()] = unquote(pair.slice(at + 1));
  }
  return variables;
}

/** FreeSWITCH's cleaning of a separated value: quotes taken off, escapes resolved. */
export function unquote(text: string): string {
  let out = '';
  for (let i = 0; i < text.length; i += 1) {
    const c = text[i]!;
    if (c === '\\' && i + 1 < text.length) {
      const next = text[++i]!;
      out += next === 'n' ? '\n' : next === 'r' ? '\r' : next === 't' ? '\t' : next === 's' ? ' ' : next;
    } else if (c !== "'") out += c;
  }
  return out;
}

/** @returns undefined where a bracket is never closed */
export function parseDialString(text: string): DialString | undefined {
  let rest = text.trim();
  const variables: Record<string, string> = {};
  while (rest.startsWith('{')) {
    const block = takeBlock(rest);
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
    const block = takeBlock(rest);
    if (!block) break;
    Object.assign(variables, block.variables);
    rest = block.rest.trimStart();
  }
  return { endpoint: rest, variables };
}

/** Splits an API argument line into words; quotes keep spaces, brackets too. */
export function splitWords(line: string): string[] {
  const words = splitAt(line, ' ').filter((w) => w !== '');
  return words.map((w) => (w.startsWith("'") && w.endsWith("'") ? unquote(w) : w));
}
