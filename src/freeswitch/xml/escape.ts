/** What a person typed must reach a node as text: never as a variable, a command, a header or a preprocessor line. */
import { isIP } from 'node:net';
import { SwitchyardError } from '../../errors';

const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g;
const NOT_XML = /[\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
/** A `$` that stands, or could come to stand, before a `{`: FreeSWITCH would run what follows. */
const EXPANDS = /\$(?=\$*(?:\{|$))/g;

/**
 * Makes text inert: control characters and line breaks become one space, broken Unicode becomes U+FFFD, and a `$`
 * that could start `${…}` or `$${…}` becomes the full-width `＄`. Everything else stays as it was typed.
 */
export function escapeText(text: string): string {
  return oneLine(text).trim().replace(EXPANDS, '\uff04');
}

/** Control characters and line breaks become one space, and broken Unicode becomes U+FFFD. */
export function oneLine(text: string): string {
  return text.replace(CONTROL, ' ').replace(NOT_XML, '\ufffd');
}

/** Signs that FreeSWITCH acts on in a caller's name, and the full-width ones that look the same. */
const WIDE: Record<string, string> = {
  '"': '\u201d',
  '\\': '\uff3c',
  '/': '\uff0f',
  ':': '\uff1a',
  '@': '\uff20',
  '%': '\uff05',
};

/**
 * For a caller's name. FreeSWITCH writes it into SIP's quoted string as it is, takes a backslash for an escape, cuts
 * the name at `/`, `:` and `@`, and decodes `%E9` into a byte that is no UTF-8: these signs become full-width ones.
 */
export function callerNameText(name: string): string {
  const wide = escapeText(name).replace(/["\\/:@]|%(?=[0-9a-f]{2})/gi, (sign) => WIDE[sign]!);
  return Array.from(wide).slice(0, 128).join('');
}

/** Escapes text for the inside of a double-quoted attribute, for answers made without the document builder. */
export function attribute(text: string): string {
  if (!/[&<>"]/.test(text)) return text;
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');
}

/**
 * FreeSWITCH drops every line that contains "x-pre-process" in any case, wherever it stands: a character reference
 * keeps the word and hides it.
 */
export function hidePreprocessor(xml: string): string {
  return /x-pre-process/i.test(xml) ? xml.replace(/(x)-(?=pre-process)/gi, '$1&#45;') : xml;
}

const ADDRESS_PART = /^[A-Za-z0-9_.+\-~*#]{1,128}$/;

/** True for a user name or host that can stand in a dial string as it is. */
export function isAddressPart(text: string): boolean {
  return ADDRESS_PART.test(text);
}

/** The same for a host: also an IPv6 address, which is dialled in brackets (hostAndPort). */
export const isHostPart = (text: string): boolean => isAddressPart(text) || (isIP(text) === 6 && !text.includes('%'));

/** @throws SwitchyardError invalid_request: a part of an address is used as it is or not at all. */
export function addressPart(text: string, what: string): string {
  if (!isAddressPart(text))
    throw new SwitchyardError('invalid_request', `${what} contains characters that can't be dialled.`);
  return text;
}

/** True for a value that means nothing to the dial string parser: tokens, ids. */
export function isPlainValue(text: string): boolean {
  return /^[A-Za-z0-9_.=@+/~-]{1,2048}$/.test(text) && !holdsDialWord(text);
}

/**
 * Words that FreeSWITCH looks for anywhere in a dial string, also within an address (switch_ivr_originate): `:_:` makes
 * several calls of it, and the other one lets variables of the new leg hold `${…}`, which are run when they are used.
 */
export function holdsDialWord(text: string): boolean {
  return /:_:|origination_nested_vars/i.test(text);
}
