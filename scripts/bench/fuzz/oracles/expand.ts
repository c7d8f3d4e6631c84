/** What FreeSWITCH does with `$` in a text (switch_channel_expand_variables, 1.10.12): which variables and which commands it names. */

export interface Expansion {
  text: string;
  /** Names that are looked up, as they stand there. */
  variables: string[];
  /** Commands that would be run, with their arguments. */
  commands: string[];
}

/** switch_string_var_check_const() and switch_string_has_escaped_data(): without these nothing is touched. */
function isTouched(text: string): boolean {
  for (let at = 0; at < text.length - 1; at += 1) {
    if (text[at] === '$' && text[at + 1] === '{') return true;
    if (text[at] === '$' && text[at + 1] === '$' && text[at + 2] === '{') return true;
    if (text[at] === '\\' && '\\$\'"ntrs'.includes(text[at + 1]!)) return true;
  }
  return false;
}

/** @param values of variables; those that are not there are empty */
export function expandText(text: string, values: Readonly<Record<string, string>> = {}): Expansion {
  const found: Expansion = { text, variables: [], commands: [] };
  if (!isTouched(text)) return found;
  let out = '';
  for (let p = 0; p < text.length; p += 1) {
    let isLiteral = false;
    if (text[p] === '\\') {
      if (text[p + 1] === '$') {
        isLiteral = true;
        p += 1;
        if (text[p + 1] === '$') p += 1;
      } else if (text[p + 1] === "'") {
        p += 1;
        continue;
      } else if (text[p + 1] === '\\') {
        out += '\\';
        p += 1;
        continue;
      }
    }
    if (text[p] === '$' && !isLiteral) {
      if (text[p + 1] === '$') p += 1;
      isLiteral = text[p + 1] !== '{';
    }
    if (isLiteral || text[p] !== '$') {
      out += text[p] ?? '';
      continue;
    }
    let depth = 1;
    let e = p + 2;
    const from = e;
    for (; e < text.length; e += 1) {
      if (depth === 1 && text[e] === '}') break;
      if (e !== from && text[e] === '{') depth += 1;
      else if (depth > 1 && text[e] === '}') depth -= 1;
    }
    const name = text.slice(from, e);
    if (/[ (]/.test(name)) found.commands.push(name);
    else {
      found.variables.push(name);
      out += values[name] ?? '';
    }
    p = e;
  }
  return { ...found, text: out };
}
