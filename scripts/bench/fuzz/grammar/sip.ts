/** Writes SIP as people might who mean a node harm: requests of every method, in and out of dialogs, with headers that act. */
import * as fc from 'fast-check';
import { anyText } from './text';

/** Words in braces stand for what is only known when it is sent: addresses, call ids and files of the run. */
export interface SipStep {
  /** Who sends it. A stranger has no password. */
  actor: 'stranger' | 'user' | 'guest';
  method: string;
  /** Alone, inside the actor's answered call, or inside one that still rings. */
  dialog: 'none' | 'answered' | 'ringing';
  requestUri: string;
  from: string;
  to: string;
  contact: string;
  headers: readonly string[];
  body: readonly [type: string, text: string] | undefined;
  /** Answers a challenge with the actor's own password. */
  proves: boolean;
}

/** Taken by a node for a name, a command, or the way to somebody. */
const USERS: readonly string[] = [
  'api+system%20touch%20{marker}',
  'api+hupall',
  'api+originate%20sofia/internal/sip:x@{elsewhere}%20&park()',
  'event+x',
  'conf+ward',
  'park+1001',
  'fifo+x',
  'gw+x',
  'bob',
  'mallory',
  '{guest}',
  '9196',
  'ward',
  '{victimLeg}',
  'bob%25beta.test',
  'bob%40beta.test',
  "x';a='b",
  '${system(touch {marker})}',
  '%24%7Bsystem(touch%20{marker})%7D',
  'x,sofia/internal/sip:y@{elsewhere}',
  'x:_:sofia/internal/sip:y@{elsewhere}',
  '{a=b}x',
  '[execute_on_answer=system:touch$IFS{marker}]x',
  'answer,system:touch {marker}',
  'intercept:{victimLeg}',
  '',
];
const HOSTS: readonly string[] = [
  '{node}',
  'alpha.test',
  'beta.test',
  '{elsewhere}',
  'none.test',
  '127.0.0.1',
  '[::1]',
];
const PARAMETERS: readonly string[] = [
  '',
  '',
  '',
  ';transport=udp',
  ';transport=tcp',
  ';maddr={elsewhereHost}',
  ';fs_path=sip%3A{elsewhere}',
  ';x=y,execute_on_originate=system:touch$IFS{marker},z=1',
  ';origination_nested_vars=true',
  '?Replaces={victimCall}%3Bto-tag%3Da%3Bfrom-tag%3Db',
  '?Replaces={victimLeg}',
  '?Route=%3Csip:{elsewhere}%3Blr%3E',
  ';lr',
  ';gr=urn:uuid:x',
];

const uri: fc.Arbitrary<string> = fc
  .tuple(
    fc.oneof({ weight: 8, arbitrary: fc.constantFrom(...USERS) }, { weight: 1, arbitrary: anyText.map(inUri) }),
    fc.constantFrom(...HOSTS),
    fc.constantFrom(...PARAMETERS),
  )
  .map(([user, host, parameters]) => `sip:${user === '' ? '' : `${user}@`}${host}${parameters}`);

/** Only what ends a header or a line is taken out: the rest is for the node to refuse. */
function inUri(text: string): string {
  return text.replace(/[\r\n\u0000<>\s]/g, '').slice(0, 60);
}

const oneLine = (text: string): string => text.replace(/[\r\n\u0000]/g, ' ').slice(0, 300);

const EVENTS =
  'presence dialog message-summary refer check-sync talk hold as-feature-event line-seize conference reg x'.split(' ');

const header: fc.Arbitrary<string> = fc.oneof(
  { weight: 3, arbitrary: uri.map((one) => `Refer-To: <${one}>`) },
  { weight: 1, arbitrary: uri.map((one) => `Referred-By: <${one}>`) },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      'Replaces: {victimCall};to-tag=a;from-tag=b',
      'Replaces: {victimLeg};to-tag=a;from-tag=b',
      'Replaces: {victimLeg}',
      'Replaces: {victimCall};to-tag={victimTo};from-tag={victimFrom};early-only',
      'Join: {victimCall};to-tag=a;from-tag=b',
      'Target-Dialog: {victimCall};local-tag=a;remote-tag=b',
      'Call-Info: <sip:x>;appearance-index=1',
      'Call-Info: <sip:bob@beta.test>;answer-after=0',
      'Alert-Info: <file:///{marker}>;info=alert-autoanswer',
    ),
  },
  { weight: 2, arbitrary: fc.constantFrom(...EVENTS).map((event) => `Event: ${event}`) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      'Record: on',
      'Record: off',
      'Subscription-State: active',
      'RAck: 1 1 INVITE',
      'RSeq: 1',
    ),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(
        fc.constantFrom(
          'P-Asserted-Identity',
          'P-Preferred-Identity',
          'Remote-Party-ID',
          'Diversion',
          'History-Info',
          'Privacy',
        ),
        uri,
      )
      .map(([name, one]) => `${name}: "Boss" <${one}>`),
  },
  { weight: 1, arbitrary: uri.map((one) => `Route: <${one}>`) },
  { weight: 1, arbitrary: uri.map((one) => `Record-Route: <${one}>`) },
  { weight: 1, arbitrary: uri.map((one) => `Path: <${one}>`) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(
        fc.constantFrom(
          'X-Switchyard-Token',
          'X-Switchyard-Call',
          'X-Switchyard-Leg',
          'X-FS-Support',
          'X-FS-Refer-Params',
          'X-FS-Refer-For',
          'X-FS-Video-Refresh',
          'X-Accountcode',
          'X-auth-ip',
          'P-Key-Flags',
          'X-Sla-Version',
        ),
        fc.oneof(
          fc.constantFrom('execute_on_originate=system:touch$IFS{marker}', '{victimLeg}', 'update_display,send_info'),
          anyText,
        ),
      )
      .map(([name, text]) => `${name}: ${oneLine(text)}`),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom('Expires: 0', 'Expires: 99999999999', 'Expires: -1', 'Session-Expires: 1', 'Min-SE: 0'),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      'Require: 100rel',
      'Require: replaces',
      'Supported: replaces,100rel,timer,path,outbound',
    ),
  },
  { weight: 1, arbitrary: anyText.map((text) => `Subject: ${oneLine(text)}`) },
  { weight: 1, arbitrary: fc.constant(`X-Long: ${'a'.repeat(4000)}`) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      'Authorization: Digest',
      'Authorization: Digest username="bob", realm="beta.test", nonce="x", uri="sip:x", response="00"',
    ),
  },
);

const SDP = (media: string): string =>
  `v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n${media}`;

const body: fc.Arbitrary<readonly [string, string] | undefined> = fc.oneof(
  { weight: 3, arbitrary: fc.constant(undefined) },
  {
    weight: 6,
    arbitrary: fc.constantFrom(
      ['application/sdp', SDP('m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n')] as const,
      ['application/sdp', SDP('m=audio 0 RTP/AVP 0\r\n')] as const,
      ['application/sdp', SDP('m=image 40000 udptl t38\r\na=T38FaxVersion:0\r\n')] as const,
      [
        'application/sdp',
        SDP(`m=message 9 TCP/MSRP *\r\na=path:msrp://{elsewhere}/x;tcp\r\na=accept-types:*\r\n`),
      ] as const,
      ['application/sdp', SDP('m=audio 40000 RTP/AVP 0\r\n'.repeat(40))] as const,
      ['text/plain', '${system(touch {marker})}'] as const,
      ['text/plain', 'api system touch {marker}'] as const,
      ['application/dtmf-relay', 'Signal=*\r\nDuration=100\r\n'] as const,
      ['application/dtmf', '1'] as const,
      [
        'application/media_control+xml',
        '<?xml version="1.0"?><media_control><vc_primitive><to_encoder><picture_fast_update/></to_encoder></vc_primitive></media_control>',
      ] as const,
      ['message/sipfrag', 'SIP/2.0 200 OK'] as const,
      [
        'freeswitch/session-event',
        'command: execute\nexecute-app-name: system\nexecute-app-arg: touch {marker}\n',
      ] as const,
      ['freeswitch/data', 'touch {marker}'] as const,
      [
        'application/x-as-feature-event+xml',
        '<SetDoNotDisturb><doNotDisturbOn>true</doNotDisturbOn></SetDoNotDisturb>',
      ] as const,
      [
        'application/pidf+xml',
        '<presence entity="pres:bob@beta.test"><tuple id="a"><status><basic>open</basic></status></tuple></presence>',
      ] as const,
    ),
  },
  { weight: 1, arbitrary: anyText.map((text) => ['text/plain', text] as const) },
  { weight: 1, arbitrary: anyText.map((text) => ['application/sdp', SDP(text)] as const) },
);

const METHODS =
  'REGISTER INVITE REFER MESSAGE INFO NOTIFY SUBSCRIBE PUBLISH OPTIONS BYE CANCEL UPDATE PRACK ACK X'.split(' ');

const own = (kind: 'from' | 'to'): fc.Arbitrary<string> =>
  fc.oneof({ weight: 5, arbitrary: fc.constant('{self}') }, { weight: kind === 'to' ? 6 : 2, arbitrary: uri });

export const sipSteps: fc.Arbitrary<readonly SipStep[]> = fc.array(
  fc.record({
    actor: fc.constantFrom('stranger' as const, 'user' as const, 'user' as const, 'guest' as const, 'guest' as const),
    method: fc.constantFrom(...METHODS, 'REGISTER', 'INVITE', 'REFER', 'MESSAGE'),
    dialog: fc.constantFrom('none' as const, 'none' as const, 'answered' as const, 'ringing' as const),
    requestUri: fc.oneof({ weight: 2, arbitrary: fc.constant('sip:{node}') }, { weight: 3, arbitrary: uri }),
    from: own('from'),
    to: own('to'),
    contact: fc.oneof(
      { weight: 4, arbitrary: fc.constant('{own}') },
      { weight: 3, arbitrary: uri },
      { weight: 1, arbitrary: fc.constant('*') },
    ),
    headers: fc.array(header, { maxLength: 4 }),
    body,
    proves: fc.oneof({ weight: 4, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
  }),
  { minLength: 1, maxLength: 6 },
);
