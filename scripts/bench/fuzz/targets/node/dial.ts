/** Whom a node would ring: contacts that phones chose, and names, in the dial string that a node is given. */
import { unescape } from 'node:querystring';
import * as fc from 'fast-check';
import {
  dialStringTo,
  NOT_REGISTERED,
  parseDocument,
  userXml,
  type DialStringOptions,
  type ReachableContact,
} from '../../../../../src/freeswitch/xml';
import { anyText } from '../../grammar/text';
import { readDialString, readSofiaTarget } from '../../oracles/dial';
import { expandText } from '../../oracles/expand';
import { readXml } from '../../oracles/xml';
import { defineTarget, must, mustEqual, type Target } from '../../target';

export type WriteDialString = (o: DialStringOptions) => string;

const host = fc.constantFrom('10.0.0.1', 'phone.test', '[2001:db8::1]', '10.0.0.1:5060', 'h', '');
const user = fc.oneof(fc.constantFrom('bob', 'a%40b', 'x;y', '1001', '+49', ''), anyText);
const parameter = fc.oneof(
  fc.constantFrom(
    ';transport=ws',
    ';fs_nat=yes',
    ';fs_path=sip%3A10.0.0.9%3A5060',
    ';maddr=10.0.0.9',
    ';ob',
    '?Replaces=x',
    ';x=/',
    ';x=/y;z@evil.test',
    ';x=user/bob',
    ';origination_nested_vars=true',
  ),
  anyText.map((text) => `;x=${text}`),
);

/** A SIP contact, nearly right. */
const contacts: fc.Arbitrary<string> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .tuple(
        fc.constantFrom('sip:', 'sips:', 'sip:', 'SIP:', 'tel:', ''),
        user,
        host,
        fc.array(parameter, { maxLength: 2 }),
      )
      .map(([scheme, name, at, more]) => `${scheme}${name}@${at}${more.join('')}`),
  },
  { weight: 1, arbitrary: anyText },
  { weight: 1, arbitrary: fc.tuple(anyText, anyText).map(([a, b]) => `"${a}" <sip:${b}@10.0.0.1>`) },
);

const ID = '0198c0de-0000-7000-8000-000000000001';
const contact: fc.Arbitrary<ReachableContact> = fc.record({
  node: fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom('here', 'here', 'there', 'elsewhere') },
    { weight: 1, arbitrary: anyText },
  ),
  host: fc.oneof({ weight: 3, arbitrary: fc.constantFrom('10.0.1.1', 'node.test') }, { weight: 1, arbitrary: anyText }),
  internodePort: fc.constantFrom(5080, 1, 65_535),
  contact: contacts,
  source: fc.record({
    networkIp: fc.oneof({ weight: 5, arbitrary: fc.constantFrom('10.0.0.1', '192.0.2.7', '2001:db8::1') }, anyText),
    networkPort: fc.constantFrom(5060, 40_123, 0, 65_536),
    transport: fc.constantFrom('udp', 'tcp', 'ws', 'wss', 'udp;lr'),
  }),
  profile: fc.oneof({ weight: 5, arbitrary: fc.constant('internal') }, { weight: 1, arbitrary: anyText }),
  grantId: fc.oneof(
    { weight: 3, arbitrary: fc.constant(undefined) },
    { weight: 2, arbitrary: fc.constant(ID) },
    { weight: 1, arbitrary: anyText },
  ),
});

const inputs = fc.record({
  username: fc.oneof({ weight: 3, arbitrary: fc.constantFrom('bob', '1001') }, { weight: 1, arbitrary: anyText }),
  domain: fc.constantFrom('a.test', 'b.test'),
  contacts: fc.array(contact, { maxLength: 6 }),
  token: fc.oneof({ weight: 3, arbitrary: fc.constant('eyJjIjoi.x-_=') }, { weight: 1, arbitrary: anyText }),
  callId: fc.oneof({ weight: 4, arbitrary: fc.constant(ID) }, { weight: 1, arbitrary: anyText }),
  leg: fc.constantFrom('from' as const, 'to' as const),
});

/** Every variable that a dial string of ours may set. */
const VARIABLES = [
  'origination_uuid',
  'switchyard_grant',
  'switchyard_leg',
  'sip_h_X-Switchyard-Token',
  'sip_h_X-Switchyard-Call',
  'sip_h_X-Switchyard-Leg',
];

/** Where sofia-sip would send the INVITE: by `fs_path` where mod_sofia finds one, else by `maddr` or the host. */
function nextHop(uri: string): string | undefined {
  const path = /;fs_path=([^;>]*)/.exec(uri)?.[1];
  const hop = path === undefined ? uri : unescape(path);
  const said = /;maddr=([^;]*)/i.exec(hop)?.[1] ?? /^sips?:[^@]*@(\[[^\]]*\]|[^:;?]*)/i.exec(hop)?.[1];
  return said?.replace(/^\[|\]$/g, '').toLowerCase();
}

export const dialTarget = (write: WriteDialString = dialStringTo): Target =>
  defineTarget({
    name: 'dial',
    holds: 'a node rings exactly the contacts we meant, each at its profile, with our variables and no others',
    inputs,
    check(input) {
      let ids = 0;
      const dialString = write({
        ...input,
        thisNode: 'here',
        token: () => input.token,
        createId: () => `new-${(ids += 1)}`,
      });
      mustEqual(expandText(dialString), { text: dialString, variables: [], commands: [] }, 'the dial string, expanded');
      mustArrive(dialString, input.domain);
      const dialled = readDialString(dialString);
      must(dialled !== undefined, () => `FreeSWITCH can't read ${dialString}`);
      must(!dialled.isEnterprise && !dialled.isNested, () => `a word that FreeSWITCH acts on in ${dialString}`);
      mustEqual(dialled.global, [], 'variables of all legs');
      mustEqual(dialled.sequence.length, 1, 'how many groups are dialled one after the other');
      const legs = dialled.sequence[0]!;
      if (dialString === NOT_REGISTERED) return 'nobody';
      const own = input.contacts.filter((c) => c.node === 'here');
      let [rungHere, rungThere] = [0, 0];
      legs.forEach((leg, i) => {
        const names = leg.variables.map(([name]) => name);
        must(new Set(names).size === names.length, () => `a variable is set twice: ${names.join(', ')}`);
        for (const name of names) must(VARIABLES.includes(name), () => `the variable ${name} is not ours`);
        must(names.includes('origination_uuid') === i > 0, 'the first leg alone has no id of its own');
        must(leg.kind === 'sofia', () => `an endpoint of the kind ${leg.kind}`);
        const target = readSofiaTarget(leg.data);
        must(target !== undefined, () => `no target in ${leg.data}`);
        must(!target.isLookup && !target.isGateway && target.to === undefined, () => `another target: ${leg.data}`);
        if (target.profile === 'internode') {
          rungThere += 1;
          must(names.includes('sip_h_X-Switchyard-Token'), 'a call to another node without a token');
          mustEqual(new Map(leg.variables).get('sip_h_X-Switchyard-Token'), input.token, 'the token');
          mustEqual(new Map(leg.variables).get('sip_h_X-Switchyard-Call'), input.callId, "the call's id");
          must(
            unescape(target.uri).startsWith(`sip:${input.username}@`),
            () => `another node is asked for ${target.uri}`,
          );
          return;
        }
        rungHere += 1;
        must(!names.some((name) => name.startsWith('sip_h_')), 'a token goes to a phone');
        const written = leg.data.slice(leg.data.indexOf('/') + 1);
        must(
          own.some((c) => c.contact.includes(written.split(';', 1)[0]!) && c.source.networkIp === nextHop(written)),
          () => `${written} does not lead to where a contact of this node came from: ${JSON.stringify(own)}`,
        );
      });
      must(rungHere <= own.length, 'more legs than contacts');
      const nodes = new Set(input.contacts.map((c) => c.node).filter((node) => node !== 'here'));
      must(rungThere <= nodes.size, 'a node is asked twice');
      return rungHere + rungThere > 0 ? 'rung' : 'nobody';
    },
  });

/** What stands in the directory's answer is what the node reads there. */
function mustArrive(dialString: string, domain: string): void {
  const xml = userXml({
    domain,
    username: 'bob',
    ha1: '0'.repeat(32),
    displayName: '',
    callerNumber: '',
    dialString,
  });
  const found = readXml(xml).elements.find((e) => e.name === 'param' && e.attributes.name === 'dial-string');
  mustEqual(found?.attributes.value, dialString, 'the dial string in the answer');
  must(parseDocument(xml).name === 'document', 'our own reader reads it, too');
}
