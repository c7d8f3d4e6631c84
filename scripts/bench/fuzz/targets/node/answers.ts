/** Answers to nodes' questions, made from what people typed: read as a node reads them, nothing in them is run. */
import * as fc from 'fast-check';
import { SwitchyardError } from '../../../../../src/errors';
import {
  bridgeToUserPlan,
  echoPlan,
  internodeDeliveryPlan,
  parseDocument,
  parseXmlRequest,
  refusePlan,
  userXml,
  type XmlRequest,
} from '../../../../../src/freeswitch/xml';
import { askPinPlan, bridgeToRoomPlan, turnAwayPlan } from '../../../../../src/freeswitch/xml/room';
import { readNodeForm } from '../../../../../src/http/nodes/form';
import { anyText } from '../../grammar/text';
import { formPlans, writeForm } from '../../grammar/node-form';
import { expandText } from '../../oracles/expand';
import { mustPassPreprocessor, readXml } from '../../oracles/xml';
import { mustBeQuick } from '../../pace';
import { defineTarget, must, mustEqual, type Target } from '../../target';

const ID = '0198c0de-0000-7000-8000-000000000001';
const id = fc.oneof({ weight: 4, arbitrary: fc.constant(ID) }, { weight: 1, arbitrary: anyText });
const word = (right: string): fc.Arbitrary<string> =>
  fc.oneof({ weight: 4, arbitrary: fc.constant(right) }, { weight: 1, arbitrary: anyText });
const call = { callId: id, context: word('users') };
const seconds = fc.constantFrom(30, 1, 0, -5, 1e9, 0.5);
const port = fc.constant(5080);

/** A builder of an answer, and what must be read in it where it stands there at all. */
interface Answer {
  builder: string;
  xml: () => string;
}

const of = <T>(builder: string, input: fc.Arbitrary<T>, make: (o: T) => string): fc.Arbitrary<Answer & { input: T }> =>
  input.map((o) => ({ builder, input: o, xml: () => make(o) }));

const ANSWERS = fc.oneof(
  of(
    'userXml',
    fc.record({
      domain: word('a.test'),
      username: word('1001'),
      ha1: word('0123456789abcdef0123456789abcdef'),
      displayName: anyText,
      callerNumber: anyText,
      cacheMs: fc.constantFrom(0, 60_000, -1, 0.5),
      // Made by dialStringTo(), which is fuzzed by itself.
      dialString: fc.option(fc.constant('sofia/internal/sip:1001@10.0.0.1'), { nil: undefined }),
    }),
    userXml,
  ),
  of(
    'bridgeToUserPlan',
    fc.record({
      ...call,
      username: word('1001'),
      domain: word('a.test'),
      callerName: anyText,
      callerNumber: anyText,
      ringTimeoutSeconds: seconds,
    }),
    bridgeToUserPlan,
  ),
  of(
    'internodeDeliveryPlan',
    fc.record({
      ...call,
      attemptLegId: fc.option(id, { nil: undefined }),
      dialString: fc.constant('sofia/internal/sip:a@b'),
      ringTimeoutSeconds: seconds,
    }),
    internodeDeliveryPlan,
  ),
  of('echoPlan', fc.record(call), echoPlan),
  of('refusePlan', fc.record({ ...call, sipStatus: fc.constant(404 as const), reason: anyText }), refusePlan),
  of('turnAwayPlan', fc.record({ ...call, reason: anyText }), turnAwayPlan),
  of('askPinPlan', fc.record({ ...call, destination: word('ward'), triesBefore: fc.nat({ max: 3 }) }), askPinPlan),
  of(
    'bridgeToRoomPlan',
    fc.record({
      ...call,
      host: word('10.0.0.1'),
      internodePort: port,
      token: word('eyJ.x'),
      name: anyText,
      number: anyText,
      audioOnly: fc.boolean(),
    }),
    bridgeToRoomPlan,
  ),
);

/** What a plan may do on a channel, in any of these builders. */
const APPLICATIONS =
  'answer echo set set_profile_var export bridge hangup playback play_and_get_digits transfer conference unset'.split(
    ' ',
  );
/** Their data may be expanded to this and nothing else. */
const EXPANDED = 'originate_disposition';

/** What holds for every answer of ours, whoever asked and whatever anybody typed. @throws OracleFault */
export function mustBeInert(xml: string): void {
  mustPassPreprocessor(xml);
  const { root, elements } = readXml(xml);
  mustEqual(root, 'document', 'the root');
  for (const { name, attributes } of elements) {
    if (name === 'action') {
      const { application = '', data = '' } = attributes;
      must(APPLICATIONS.includes(application), () => `the application ${application}`);
      const { variables, commands } = expandText(data);
      mustEqual(commands, [], `commands in ${data}`);
      must(
        variables.every((v) => v === EXPANDED),
        () => `variables in ${data}`,
      );
      if (application === 'set' || application === 'export') mustSetOurs(data);
      if (application === 'set_profile_var')
        must(/^caller_id_(name|number)=/.test(data), () => `the profile's ${data}`);
    }
    // A user's variables are set on its channels, and expanded where they are used.
    if (name === 'variable') {
      const { variables, commands } = expandText(attributes.value ?? '');
      mustEqual([...variables, ...commands], [], `expansions in ${JSON.stringify(attributes)}`);
    }
  }
  const asWeRead = JSON.stringify(parseDocument(xml));
  must(asWeRead.length > 0, 'our own reader reads it');
}

/** Names of variables that our plans set. */
const SET =
  /^(nolocal:)?(switchyard_\w+|accountcode|effective_caller_id_(name|number)|call_timeout|originate_timeout|hangup_after_bridge|transfer_ringback|sip_copy_custom_headers|media_mix_inbound_outbound_codecs|absolute_codec_string|conference_\w+|process_cdr|rtp_video_max_bandwidth_(in|out)|execute_on_answer|[a-z_]+)$/;

function mustSetOurs(data: string): void {
  const name = data.slice(0, data.indexOf('='));
  must(SET.test(name), () => `the variable ${name}`);
}

export const answersTarget = (change: (xml: string) => string = (xml) => xml): Target =>
  defineTarget({
    name: 'answers',
    holds: 'an answer is XML on one line, names no global, variable or command but ours, and no preprocessor line',
    inputs: ANSWERS,
    check(answer) {
      let xml: string;
      try {
        xml = change(answer.xml());
      } catch (error) {
        must(error instanceof SwitchyardError, () => `${answer.builder} threw ${String(error)}`);
        return 'refused';
      }
      mustBeInert(xml);
      return answer.builder;
    },
  });

export type ReadQuestion = (body: string) => XmlRequest;

const KNOWN = { domains: ['a.test'], users: ['1001', 'bob'], ids: [ID], tokens: ['eyJ.x'] };

export const questionsTarget = (read: ReadQuestion = (body) => parseXmlRequest(readNodeForm(body))): Target =>
  defineTarget({
    name: 'questions',
    holds: 'a form is a typed question or an unknown one, whatever is in it, and in no time',
    inputs: fc.record({ plan: formPlans(KNOWN), times: fc.constantFrom(1, 1, 1, 1, 500) }),
    check({ plan, times }) {
      const body = writeForm(plan) + `&${plan.raw}`.repeat(times - 1);
      let question: XmlRequest = read(body);
      mustBeQuick(`a form of ${body.length} characters`, 50 + body.length / 2000, () => {
        question = read(body);
      });
      for (const [name, value] of Object.entries(question)) {
        if (name === 'variables') {
          must(
            Object.values(value as object).every((inner) => typeof inner === 'string'),
            'variables that are no text',
          );
        } else if (typeof value === 'object') {
          must(
            Object.values(value as object).every((inner) => typeof inner === 'string'),
            `${name} is of no texts`,
          );
        } else {
          must(['string', 'number', 'boolean', 'undefined'].includes(typeof value), () => `${name} is ${typeof value}`);
        }
      }
      must(({} as { polluted?: unknown }).polluted === undefined, 'a prototype was changed');
      return question.kind;
    },
  });
