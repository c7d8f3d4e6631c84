/** Writes the questions of a node as forms: every field we read, and values that would be acted on in an answer. */
import * as fc from 'fast-check';
import { anyText } from './text';

export interface FormPlan {
  section: string;
  fields: readonly (readonly [string, string])[];
  /** Written as they are, not escaped. */
  raw: string;
}

/** What exists in the place that answers: fuzzed questions name it now and then. */
export interface KnownThings {
  domains: readonly string[];
  users: readonly string[];
  ids: readonly string[];
  tokens: readonly string[];
}

const CONFIGURATIONS = (
  'acl.conf conference.conf conference_layouts.conf sofia.conf event_socket.conf json_cdr.conf opus.conf ' +
  'avformat.conf post_load_switch.conf verto.conf __proto__ constructor'
).split(' ');

export function formPlans(known: KnownThings): fc.Arbitrary<FormPlan> {
  const id = fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...known.ids) }, { weight: 1, arbitrary: anyText });
  const user = fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...known.users) }, { weight: 1, arbitrary: anyText });
  const domain = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...known.domains) },
    { weight: 1, arbitrary: anyText },
  );
  const token = fc.oneof(fc.constantFrom(...known.tokens, ''), anyText);
  const field = (name: string, value: fc.Arbitrary<string>): fc.Arbitrary<readonly [string, string]> =>
    value.map((text) => [name, text] as const);
  const some = (...list: fc.Arbitrary<readonly [string, string]>[]): fc.Arbitrary<(readonly [string, string])[]> =>
    fc.tuple(...list.map((one) => fc.option(one, { freq: 14 }))).map((all) => all.filter((one) => one !== null));
  const extra = fc.array(fc.tuple(anyText, anyText), { maxLength: 2 });

  const directory = some(
    field('action', fc.constantFrom('sip_auth', 'sip_auth', 'user_call', 'user_call', 'x')),
    field('user', user),
    field('domain', domain),
    field('sip_auth_method', fc.constantFrom('REGISTER', 'INVITE', 'MESSAGE')),
    field('sip_auth_realm', domain),
    field('sip_to_user', user),
    field('sip_to_host', domain),
    field('sip_from_user', user),
    field('sip_from_host', domain),
    field('ip', anyText),
    field('switchyard_call_id', id),
    field('variable_switchyard_leg', fc.constantFrom('from', 'to', 'x')),
    field('switchyard_attempt', id),
  );
  const dialplan = some(
    field('Unique-ID', id),
    field('Caller-Context', fc.oneof(fc.constantFrom('users', 'calls', 'rooms', 'internode', 'canary'), anyText)),
    field('Hunt-Context', fc.constantFrom('users', 'calls', 'rooms', 'internode')),
    field(
      'Caller-Destination-Number',
      fc.oneof(user, fc.constantFrom('9196', 'ward', 'room', 'user:bob', 'room:ward'), id, anyText),
    ),
    field('Caller-Caller-ID-Name', anyText),
    field('Caller-Caller-ID-Number', anyText),
    field('Call-Direction', fc.constantFrom('inbound', 'outbound')),
    field('variable_sip_authorized', fc.constantFrom('true', 'true', 'false')),
    field('variable_user_name', user),
    field('variable_domain_name', domain),
    field('variable_sofia_profile_name', fc.constantFrom('internal', 'internode', 'internode')),
    field('variable_sip_h_X-Switchyard-Token', token),
    field('variable_sip_h_X-Switchyard-Call', id),
    field('variable_sip_h_X-Switchyard-Leg', fc.constantFrom('from', 'to', 'x')),
    field('variable_switchyard_call_id', id),
    field('variable_switchyard_leg', anyText),
    field('variable_switchyard_pin', fc.oneof(fc.constantFrom('4711', '0000'), anyText)),
    field('variable_switchyard_pin_tries', fc.oneof(fc.constantFrom('1', '2', '3', '-1', '1e9'), anyText)),
    field('variable_sip_network_ip', anyText),
  );
  const configuration = some(
    field('key_name', fc.constantFrom('name', 'name', 'name', 'x')),
    field(
      'key_value',
      fc.oneof(
        fc.constantFrom(...CONFIGURATIONS),
        id.map((one) => `conference_layouts.${one}`),
        anyText,
      ),
    ),
    field('conference_name', id),
    field('profile_name', anyText),
    field('Fetch-Call-UUID', id),
    field('Action', fc.constantFrom('request-controls', 'x')),
  );
  return fc
    .oneof(
      directory.map((fields) => ({ section: 'directory', fields })),
      dialplan.map((fields) => ({ section: 'dialplan', fields })),
      configuration.map((fields) => ({ section: 'configuration', fields })),
      fc.tuple(anyText, directory).map(([section, fields]) => ({ section, fields })),
    )
    .chain((one) =>
      fc.record({
        section: fc.constant(one.section),
        fields: extra.map((more) => [...one.fields, ...more]),
        raw: fc.oneof({ weight: 6, arbitrary: fc.constant('') }, { weight: 1, arbitrary: anyText }),
      }),
    );
}

/** As mod_xml_curl writes it: what is not plain is escaped, byte by byte. */
export function writeForm({ section, fields, raw }: FormPlan): string {
  const pairs = [['hostname', 'node'], ['section', section], ...fields].map(
    ([name, value]) => `${escape(name!)}=${escape(value!)}`,
  );
  return pairs.join('&') + (raw === '' ? '' : `&${raw}`);
}

const escape = (text: string): string =>
  [...Buffer.from(text, 'utf8')]
    .map((byte) => {
      const sign = String.fromCharCode(byte);
      return /[A-Za-z0-9_.~-]/.test(sign) ? sign : `%${byte.toString(16).padStart(2, '0')}`;
    })
    .join('');
