/** Ends of a call that are no phone of this node: the node itself, and other nodes. */
import { randomUUID } from 'node:crypto';
import type { Calls, DialOptions } from './calls';
import type { NodeCore } from '../node-context';
import { press } from './digits';
import { Leg } from './channel';
import { failBy } from '../phones/registrar';
import { findInYard } from '../node-registry';

/** A call of the node to itself: two channels, and the second runs the plan. */
export function startLoopback(
  { core, calls }: { core: NodeCore; calls: Calls },
  target: string,
  o: DialOptions,
  won: (leg: Leg) => void,
): { leg: Leg } | { cause: string } {
  const [, extension = '', context = 'default'] = target.split('/');
  const uuid = o.variables.origination_uuid ?? randomUUID();
  const leg = new Leg(
    uuid,
    'outbound',
    `loopback/${extension}-a`,
    'loopback',
    o.variables.origination_caller_id_name ?? o.callerName,
    o.variables.origination_caller_id_number ?? o.callerNumber,
    extension,
    context,
    core.nowUs(),
  );
  for (const [k, value] of Object.entries(o.variables))
    if (k !== 'origination_caller_id_name') leg.variables.set(k, value);
  if (!calls.open(leg)) return { cause: 'DESTINATION_OUT_OF_ORDER' };
  leg.state = 'CS_CONSUME_MEDIA';
  const other = calls.takeIn({
    profile: 'loopback',
    channelName: `loopback/${extension}-b`,
    context,
    destination: extension,
    callerName: leg.callerName,
    callerNumber: leg.callerNumber,
    variables: {},
    person: o.by?.person,
    far: {
      ringing: () => calls.progress(leg),
      answered: () => {
        if (leg.isOver) return;
        calls.answer(leg);
        won(leg);
      },
      ended: (cause) => calls.hangup(leg, cause),
      heard(sounding, toneHz) {
        leg.tone = toneHz;
        leg.isSounding = sounding;
        leg.onTalk?.(sounding);
      },
    },
  });
  leg.far = {
    ended: (cause) => void (other && calls.hangup(other, cause)),
    pressed: (digits) => other && press(other, digits),
    heard(sounding, toneHz) {
      if (!other) return;
      other.tone = toneHz;
      other.isSounding = sounding;
      other.onTalk?.(sounding);
    },
  };
  return { leg };
}

/** Another node of this process, by the address of its door for nodes. */
export function ringOtherNode(
  core: NodeCore,
  leg: Leg,
  uri: string,
  answers: { progress(): void; answer(): void; fail(cause: string): void },
): void {
  const [username = '', address = ''] = uri.split('@');
  const other = leg.profile === 'internode' ? findInYard(address) : undefined;
  if (!other || other.isOver) {
    leg.far = { ended: core.later(5, () => failBy(leg, 503, answers)) };
    return;
  }
  const headers = [...leg.variables].filter(([k]) => k.startsWith('sip_h_'));
  let there: Leg | undefined;
  leg.far = {
    ended: (cause) =>
      other.whenAwake(() => there && other.hangup?.(there, there.answeredUs ? cause : 'ORIGINATOR_CANCEL')),
  };
  other.whenAwake(() => {
    there = other.takeIn?.({
      profile: 'internode',
      context: 'internode',
      destination: username,
      callerName: leg.callerName,
      callerNumber: leg.callerNumber,
      variables: Object.fromEntries(headers),
      person: leg.person,
      far: {
        ringing: () => core.whenAwake(answers.progress),
        answered: () => core.whenAwake(answers.answer),
        ended: (cause) => core.whenAwake(() => answers.fail(cause)),
      },
    });
    if (!there) core.whenAwake(() => answers.fail('DESTINATION_OUT_OF_ORDER'));
  });
}
