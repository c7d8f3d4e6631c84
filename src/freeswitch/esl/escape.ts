/** The one place where text becomes part of a command: a caller's name must never become a second command or a variable. */
import { SwitchyardError } from '../../errors';

const CONTROL = /[\u0000-\u001f\u007f]/;
/** A bracket opens variables where a branch begins; inside one it stands around an IPv6 address. No branch is empty. */
const IN_ENDPOINT = /[\s'"\\{}<>$`^]|:_:|origination_nested_vars|(^|[,|])(?=[,|[]|$)/i;
const HALF_A_PAIR = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

function refuse(what: string, why: string): never {
  throw new SwitchyardError('invalid_request', `${what} ${why}`, { errors: [{ path: what, message: why }] });
}

/** Refuses control characters: a newline would end the command and start another. */
export function assertSafe(text: string, what: string): string {
  if (CONTROL.test(text)) refuse(what, 'holds a control character');
  return text;
}

/** A word that FreeSWITCH reads as one token whatever its parser does: names, numbers, contexts, ids. */
export function assertToken(text: string, what: string): string {
  if (!/^[A-Za-z0-9*#+_][A-Za-z0-9*#+._~-]{0,127}$/.test(text)) refuse(what, 'is not a plain word');
  return text;
}

/**
 * A name of a user or room in a place where no flag can stand. Older ones may begin with a dot or a hyphen: they can be
 * rung, and what nodes keep of them can be flushed, as with any other.
 */
export function assertName(text: string, what: string): string {
  if (!/^[A-Za-z0-9*#+._~-]{1,128}$/.test(text)) refuse(what, 'is not a plain name');
  return text;
}

/** A host name or address, also IPv6 in brackets, also with a port. */
export function assertHost(text: string, what: string): string {
  if (!/^(?:[A-Za-z0-9][A-Za-z0-9._-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?$/.test(text)) {
    refuse(what, 'is not a host');
  }
  return text;
}

/** A dial string that is already built: it may fork, but holds nothing that opens a variable, a quote or a new argument. */
export function assertEndpoint(text: string, what = 'endpoint'): string {
  if (text === '' || CONTROL.test(text) || IN_ENDPOINT.test(text)) refuse(what, 'is not a dial string');
  return text;
}

/**
 * Text that can do nothing: braces become parentheses. FreeSWITCH expands `${…}` wherever a variable's value is used again
 * (API functions included), counts braces without regard to escapes, and reads `:_:` as "dial several". The words
 * "origination_nested_vars=true" anywhere in an originate, a caller's name too, would let its variables hold `${…}`.
 * Half a surrogate pair is no text: it goes over the wire as U+FFFD.
 */
export function inertText(text: string, what: string): string {
  return assertSafe(text, what)
    .replace(/[{\uff5b]/g, '(')
    .replace(/[}\uff5d]/g, ')')
    .replace(/:(?=_:)/g, ': ')
    .replace(/(origination)_(?=nested_vars)/gi, '$1 ')
    .replace(HALF_A_PAIR, '\ufffd');
}

/** One pass of FreeSWITCH's splitting takes one level of backslashes away; a blank at an edge would be trimmed. */
function escapeOnce(text: string, delimiter: string): string {
  return text.replace(/[\\'" ,]/g, (c) => {
    if (c === ' ') return '\\s';
    if (c === ',' && delimiter !== ',') return c;
    return `\\${c}`;
  });
}

/** A value that stands as one whole argument (uuid_setvar, a path): it is split once. An empty one would be skipped there. */
export function escapeArgument(value: string, what: string): string {
  if (value === '') refuse(what, 'is empty: what stands behind it would take its place');
  return escapeOnce(inertText(value, what), ' ');
}

/** A value inside `{name='value',…}` of originate: split at blanks, then commas, then the equals sign. */
export function escapeVariableValue(value: string, what: string): string {
  return escapeOnce(escapeOnce(escapeOnce(inertText(value, what), '='), ','), ' ');
}

/** `{a=…,b=…}`; names are plain words, empty values are left out because FreeSWITCH drops them anyway. */
export function variableBlock(variables: Readonly<Record<string, string>>): string {
  const parts: string[] = [];
  for (const [name, value] of Object.entries(variables)) {
    assertToken(name, 'variable name');
    if (value !== '') parts.push(`${name}=${escapeVariableValue(value, name)}`);
  }
  return parts.length === 0 ? '' : `{${parts.join(',')}}`;
}
