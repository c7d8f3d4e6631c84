/** Reads a node's form: of a password question's fifty fields a dozen matter, and phones wait for all of them. */
import { unescape } from 'node:querystring';

/** More fields than any question has; the rest is left out. */
const MAX_FIELDS = 2000;

/** The phone's URI before it is decoded: a node leaves a `%2A` as it is, so only there it can be told from a `*`. */
const URI_AS_SENT = 'sip_auth_uri as sent';

/** What is read of a directory question. Of what is not in freeswitch/autoload_configs/xml_curl.conf.xml nothing comes. */
export const DIRECTORY_FIELDS: ReadonlySet<string> = new Set([
  'section',
  'hostname',
  'FreeSWITCH-Switchname',
  'Core-UUID',
  'domain',
  'key_name',
  'key_value',
  'user',
  'purpose',
  'action',
  'profile',
  'sip_auth_method',
  'sip_auth_username',
  'sip_auth_realm',
  'sip_from_user',
  'sip_from_host',
  'sip_to_user',
  'sip_to_host',
  'sip_auth_nonce',
  'sip_auth_uri',
  'sip_auth_response',
  'sip_auth_nc',
  'sip_auth_cnonce',
  'sip_auth_qop',
  'sip_profile',
  'ip',
  'client_port',
  'sip_user_agent',
  'switchyard_call_id',
  'switchyard_leg',
  'switchyard_attempt',
  'variable_switchyard_call_id',
  'variable_switchyard_leg',
  'variable_switchyard_attempt',
]);

/** FreeSWITCH writes the section among the first fields, as mod_xml_curl puts it. */
const DIRECTORY = /^(?:hostname=[^&]*&)?section=directory&/;

/**
 * Never throws: a broken escape stays as it can be read. Of a field that stands twice the first counts. One with a NUL is
 * left out: FreeSWITCH's texts end at it, so none of them holds one, and the database takes none.
 */
export function readNodeForm(body: string): Record<string, string> {
  return readFields(body, DIRECTORY.test(body) ? DIRECTORY_FIELDS : undefined);
}

function readFields(body: string, wanted: ReadonlySet<string> | undefined): Record<string, string> {
  const fields = (wanted ? {} : Object.create(null)) as Record<string, string>;
  const mayHoldNul = body.includes('%00') || body.includes('\u0000');
  let at = 0;
  for (let count = 0; at < body.length && count < MAX_FIELDS; count += 1) {
    let end = body.indexOf('&', at);
    if (end < 0) end = body.length;
    let equals = body.indexOf('=', at);
    if (equals < 0 || equals > end) equals = end;
    const written = body.slice(at, equals);
    const name = wanted ? written : decode(written);
    if ((wanted ? wanted.has(name) : name !== '') && fields[name] === undefined) {
      const value = decode(body.slice(equals + 1, end));
      if (!mayHoldNul || !(name + value).includes('\u0000')) fields[name] = value;
      // Without a user part nothing is doubtful.
      if (name === 'sip_auth_uri' && value.includes('@')) fields[URI_AS_SENT] = body.slice(equals + 1, end);
    }
    at = end + 1;
  }
  return fields;
}

function decode(text: string): string {
  const spaced = text.includes('+') ? text.replaceAll('+', ' ') : text;
  return spaced.includes('%') ? unescape(spaced) : spaced;
}
