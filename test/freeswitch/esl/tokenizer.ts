/** FreeSWITCH's own way of splitting an originate (switch_utils.c, 1.10.12), so that escaping is held against its reader. */

const ESCAPES: Record<string, string> = { n: '\n', r: '\r', t: '\t', s: ' ' };

/** cleanup_separated_string */
function cleanup(token: string, delimiter: string): string {
  const text = token.replace(/^ +/, '');
  let out = '';
  let end = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text.charAt(i);
    const next = text.charAt(i + 1);
    if (
      c === '\\' &&
      (next === "'" || next === '"' || next === '\\' || (delimiter && next === delimiter) || ESCAPES[next])
    ) {
      const literal = next === "'" || next === '"' || next === '\\' || next === delimiter;
      out += literal ? next : ESCAPES[next];
      end = out.length;
      i++;
    } else if (c === "'" && (quoted || text.includes("'", i + 1))) {
      quoted = !quoted;
      if (quoted) end = out.length;
    } else {
      out += c;
      if (c !== ' ' || quoted) end = out.length;
    }
  }
  return out.slice(0, end);
}

/** switch_separate_string */
function separate(text: string, delimiter: string, limit: number): string[] {
  const tokens: string[] = [];
  let start = 0;
  let quoted = false;
  let i = 0;
  while (i < text.length && tokens.length < limit - 1) {
    const c = text.charAt(i);
    if (c === '\\') i++;
    else if (c === "'" && (delimiter === ' ' || quoted || text.includes("'", i + 1))) quoted = !quoted;
    else if (c === delimiter && !quoted) {
      tokens.push(text.slice(start, i));
      start = i + 1;
    }
    i++;
  }
  tokens.push(text.slice(start));
  return tokens.map((token) => cleanup(token, delimiter === ' ' ? '' : delimiter));
}

/** The variables FreeSWITCH would set for an `originate` line. */
export function freeswitchVariables(line: string): Record<string, string> {
  const words = separate(line.replace(/^originate /, ''), ' ', 10);
  const aleg = words[0] ?? '';
  if (words.length !== 4 || aleg.includes(':_:')) throw new Error(`it reads ${words.length} arguments: ${line}`);
  let depth = 0;
  let close = 0;
  for (; close < aleg.length; close++) {
    if (aleg[close] === '{') depth++;
    if (aleg[close] === '}' && --depth === 0) break;
  }
  if (!aleg.startsWith('{') || !aleg.slice(close + 1).startsWith('user/')) throw new Error(`braces: ${aleg}`);
  const pairs = separate(aleg.slice(1, close), ',', 1024).map((pair) => separate(pair, '=', 2));
  return Object.fromEntries(pairs.filter((pair) => pair.length === 2) as [string, string][]);
}
