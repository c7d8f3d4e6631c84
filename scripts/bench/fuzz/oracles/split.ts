/** How FreeSWITCH takes a line apart, written after switch_utils.c of 1.10.12 function by function, and after nothing of ours. */

/** unescape_char() */
const UNESCAPED: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', s: ' ' };

/** cleanup_separated_string(): @param delimiter empty where the string was split at blanks */
function cleanUp(text: string, delimiter: string): string {
  let at = 0;
  while (text[at] === ' ') at += 1;
  let out = '';
  let end: number | undefined;
  let isQuoted = false;
  for (; at < text.length; at += 1) {
    const c = text[at]!;
    if (c === '\\') {
      const e = text[at + 1] ?? '';
      if (e !== '' && (e === "'" || e === '"' || e === delimiter || e === '\\' || UNESCAPED[e] !== undefined)) {
        out += e === "'" || e === '"' || e === delimiter || e === '\\' ? e : UNESCAPED[e]!;
        end = out.length;
        at += 1;
        continue;
      }
    }
    if (c === "'" && (isQuoted || text.includes("'", at + 1))) {
      isQuoted = !isQuoted;
      if (isQuoted) end = out.length;
    } else {
      out += c;
      if (c !== ' ' || isQuoted) end = out.length;
    }
  }
  return end === undefined ? out : out.slice(0, end);
}

/** separate_string_char_delim() */
function splitAtSign(text: string, delimiter: string, limit: number): string[] {
  const parts: string[] = [];
  let start = 0;
  let isOpen = false; // a part was begun, and its end is looked for
  let isQuoted = false;
  for (let at = 0; at < text.length && parts.length < limit;) {
    if (!isOpen) {
      start = at;
      isOpen = true;
      parts.push('');
      continue;
    }
    const c = text[at]!;
    if (c === '\\') at += 1;
    else if (c === "'" && (isQuoted || text.includes("'", at + 1))) isQuoted = !isQuoted;
    else if (c === delimiter && !isQuoted) {
      parts[parts.length - 1] = text.slice(start, at);
      isOpen = false;
    }
    at += 1;
  }
  // The last one runs to the end; where the limit is reached it takes all the rest along.
  if (isOpen) parts[parts.length - 1] = text.slice(start);
  return parts.map((part) => cleanUp(part, delimiter));
}

/** separate_string_blank_delim() */
function splitAtBlanks(text: string, limit: number): string[] {
  const parts: string[] = [];
  let at = 0;
  let start = 0;
  let isQuoted = false;
  let state: 'start' | 'blanks before' | 'word' | 'blanks behind' = 'start';
  while (at < text.length && parts.length < limit) {
    if (state === 'start') {
      parts.push('');
      start = at;
      state = 'blanks before';
    } else if (state === 'blanks before') {
      if (text[at] === ' ') at += 1;
      else state = 'word';
    } else if (state === 'word') {
      const c = text[at]!;
      if (c === '\\') at += 1;
      else if (c === "'") isQuoted = !isQuoted;
      else if (c === ' ' && !isQuoted) {
        parts[parts.length - 1] = text.slice(start, at);
        state = 'blanks behind';
      }
      at += 1;
    } else if (text[at] === ' ') at += 1;
    else state = 'start';
  }
  if (state === 'word' || state === 'blanks before') parts[parts.length - 1] = text.slice(start);
  return parts.map((part) => cleanUp(part, ''));
}

/** switch_separate_string() */
export function separateString(text: string, delimiter: string, limit: number): string[] {
  if (text.startsWith('^^') && text.length > 3) {
    return splitBy(text.slice(3), text[2]!, limit);
  }
  return splitBy(text, delimiter, limit);
}

const splitBy = (text: string, delimiter: string, limit: number): string[] =>
  delimiter === ' ' ? splitAtBlanks(text, limit) : splitAtSign(text, delimiter, limit);

/** What the Event Socket makes of bytes that are written to it (mod_event_socket, read_packet): commands and headers. */
export interface SocketCommand {
  command: string;
  headers: Record<string, string>;
}

/** A command ends with an empty line. What stands behind it is another command. */
export function readSocketCommands(wire: string): SocketCommand[] {
  const commands: SocketCommand[] = [];
  for (const block of wire.split(/\r?\n\r?\n/)) {
    const lines = block.split(/[\r\n]+/).filter((line) => line !== '');
    if (lines.length === 0) continue;
    const headers = lines.slice(1).map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon), line.slice(colon + 1).replace(/^ +/, '')] as const;
    });
    commands.push({ command: lines[0]!, headers: Object.fromEntries(headers) });
  }
  return commands;
}
