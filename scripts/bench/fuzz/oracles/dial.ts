/**
 * What FreeSWITCH dials for a string: after switch_ivr_originate.c, switch_event.c (create_brackets) and mod_sofia.c of
 * 1.10.12, and after nothing of ours. Threads, ring-back and causes are left out: it says who would be called, and how.
 */
import { separateString } from './split';

export interface DialledLeg {
  /** The endpoint's kind: sofia, user, error, loopback … */
  kind: string;
  /** What stands behind the first slash. */
  data: string;
  /** In the order they are set; a name that stands twice is set twice. */
  variables: [string, string][];
}

export interface Dialled {
  /** Set on every leg. */
  global: [string, string][];
  /** One after the other, the inner ones at once. */
  sequence: DialledLeg[][];
  /** Whether `:_:` made several originates of it. */
  isEnterprise: boolean;
  /** `origination_nested_vars=true` anywhere in it lets variables hold `${…}`. */
  isNested: boolean;
}

const MAX_PEERS = 128;
const QUOTED_COMMA = '\x01';
const UNQUOTED_COMMA = '\x02';

/** switch_find_end_paren() */
function findEnd(text: string, open: string, close: string): number {
  let at = 0;
  while (text[at] === ' ') at += 1;
  if (text[at] !== open) return -1;
  let depth = 1;
  for (at += 1; at < text.length; at += 1) {
    if (text[at] === open && open !== close) depth += 1;
    else if (text[at] === close && --depth === 0) return at;
  }
  return -1;
}

/** switch_event_create_brackets(), and blocks that follow each other. @returns undefined: "Parse Error!" */
function takeBrackets(
  text: string,
  open: string,
  close: string,
  comma: string,
): [[string, string][], string] | undefined {
  const end = findEnd(text, open, close);
  if (end < 0) return undefined;
  let inside = text.slice(text.indexOf(open) + 1, end);
  let by = comma;
  if (inside.startsWith('^^')) {
    by = inside[2] ?? by;
    inside = inside.slice(3);
  }
  const variables: [string, string][] = [];
  for (const pair of separateString(inside, by, 1024)) {
    const parts = separateString(pair, '=', 2);
    if (parts.length === 2) variables.push([parts[0]!, parts[1]!]);
  }
  return [variables, text.slice(end + 1)];
}

/** In `[…]` commas are hidden from the split into branches: a quote anywhere before changes how. */
function hideCommas(group: string): string {
  const out = [...group];
  let end = -1;
  let isQuoted = false;
  let isAlternative = false;
  for (let at = 0; at < out.length; at += 1) {
    if (end < 0 && out[at] === '[') {
      const length = findEnd(out.slice(at).join(''), '[', ']');
      end = length < 0 ? -1 : at + length;
      isAlternative = out[at + 1] === '^' && out[at + 2] === '^';
      isQuoted = false;
    }
    if (out[at] === "'") isQuoted = !isQuoted;
    if (at < end && out[at] === ',' && out[at - 1] !== '\\') {
      out[at] = isQuoted || isAlternative ? QUOTED_COMMA : UNQUOTED_COMMA;
    }
    if (at === end) end = -1;
  }
  return out.join('');
}

/** @returns undefined where FreeSWITCH says "Parse Error!" */
export function readDialString(text: string): Dialled | undefined {
  const isNested = text.toLowerCase().includes('origination_nested_vars=true');
  if (text.includes(':_:')) {
    const parts = text.split(':_:').map(readDialString);
    if (parts.some((part) => part === undefined)) return undefined;
    return {
      global: parts.flatMap((part) => part!.global),
      sequence: parts.flatMap((part) => part!.sequence),
      isEnterprise: true,
      isNested,
    };
  }
  const global: [string, string][] = [];
  let rest = text.replace(/^ +/, '');
  for (const [open, close] of [
    ['<', '>'],
    ['{', '}'],
  ] as const) {
    while (rest.startsWith(open)) {
      const taken = takeBrackets(rest, open, close, ',');
      if (!taken) return undefined;
      global.push(...taken[0]);
      rest = taken[1];
    }
  }
  rest = rest.replace(/^ +/, '');
  const sequence: DialledLeg[][] = [];
  for (const group of separateString(rest, '|', MAX_PEERS)) {
    const legs: DialledLeg[] = [];
    for (const peer of separateString(hideCommas(group), ',', MAX_PEERS)) {
      const leg = readLeg(peer);
      if (!leg) return undefined;
      legs.push(leg);
    }
    sequence.push(legs);
  }
  return { global, sequence, isEnterprise: false, isNested };
}

function readLeg(peer: string): DialledLeg | undefined {
  let rest = peer.replace(/^ +/, '');
  const variables: [string, string][] = [];
  while (rest.startsWith('[')) {
    const end = findEnd(rest, '[', ']');
    if (end < 0) break;
    const taken = takeBrackets(rest.replaceAll(QUOTED_COMMA, ','), '[', ']', UNQUOTED_COMMA);
    if (!taken) break;
    variables.push(...taken[0]);
    rest = taken[1];
  }
  rest = rest.replace(/^ +/, '');
  const slash = rest.indexOf('/');
  return slash < 0
    ? { kind: rest, data: '', variables }
    : { kind: rest.slice(0, slash), data: rest.slice(slash + 1), variables };
}

/** SWITCH_URL_UNSAFE */
const URL_UNSAFE = /[\r\n #%&+:;<=>?@[\\\]^`{|}"]/;

/** What the INVITE is sent to, where the data is of `sofia/` (protect_dest_uri and sofia_outgoing_channel of mod_sofia.c). */
export interface SofiaTarget {
  profile: string;
  /** As it stands in the INVITE, with `sip:` or `sips:` before it. */
  uri: string;
  /** The To header, where `^` names another. */
  to: string | undefined;
  /** `USER%DOMAIN`, or a name without a host: some registration of the node, looked up by it. */
  isLookup: boolean;
  isGateway: boolean;
}

export function readSofiaTarget(data: string): SofiaTarget | undefined {
  let text = protectUri(data);
  const isChanged = text !== data;
  let to: string | undefined;
  const caret = text.indexOf('^');
  if (caret >= 0) [text, to] = [text.slice(0, caret), text.slice(caret + 1)];
  if (/^gateway\//i.test(text)) return { profile: '', uri: text, to, isLookup: false, isGateway: true };
  const slash = text.indexOf('/');
  if (slash < 0) return undefined;
  const profile = text.slice(0, slash);
  const dest = text.slice(slash + 1);
  const found = (uri: string, isLookup = false): SofiaTarget => ({ profile, uri, to, isLookup, isGateway: false });
  if (/^sips?:/i.test(dest)) return found(dest);
  if (!isChanged && !dest.includes('@') && dest.includes('%')) return found(dest, true);
  if (!dest.includes('@')) return found(dest, true);
  return found(`sip:${dest}`);
}

/** protect_dest_uri(): the user part is escaped where it holds what is not safe there; a scheme before it is lost by that. */
function protectUri(data: string): string {
  if (!data.includes('@')) return data;
  const slash = data.lastIndexOf('/');
  if (slash < 0) return data;
  const rest = data.slice(slash + 1);
  if (!URL_UNSAFE.test(rest.split('@', 1)[0]!)) return data;
  const bare = rest.replace(/^sips?:/i, '');
  const at = bare.indexOf('@');
  if (at < 0) return data.slice(0, slash);
  return `${data.slice(0, slash)}/${encodeUser(bare.slice(0, at))}@${bare.slice(at + 1)}`;
}

/** switch_url_encode(): what is escaped already, in capitals, stays. */
const encodeUser = (user: string): string =>
  user.replace(/%[0-9A-F]{2}|[^ -~]|[\r\n #%&+:;<=>?@[\\\]^`{|}"]/g, (sign) =>
    sign.length === 3
      ? sign
      : [...Buffer.from(sign)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  );
