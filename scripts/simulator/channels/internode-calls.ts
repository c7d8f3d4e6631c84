/** Ends of a call that are no phone of this node: the node itself, and other nodes. */
import { randomUUID } from 'node:crypto';
import type { Calls, DialOptions } from './call-types';
import type { NodeContext } from '../node-context';
import { press } from './digits';
import { Channel } from './channel';
import { failBy } from '../phones/registrar';
import { findRegisteredNode } from '../node-registry';

/** A call of the node to itself: two channels, and the second runs the plan. */
export function startLoopback(
  { node, calls }: { node: NodeContext; calls: Calls },
  target: string,
  o: DialOptions,
  won: (channel: Channel) => void,
): { channel: Channel } | { cause: string } {
  const [, extension = '', context = 'default'] = target.split('/');
  const uuid = o.variables.origination_uuid ?? randomUUID();
  const channel = new Channel({
    uuid,
    direction: 'outbound',
    channelName: `loopback/${extension}-a`,
    profile: 'loopback',
    callerName: o.variables.origination_caller_id_name ?? o.callerName,
    callerNumber: o.variables.origination_caller_id_number ?? o.callerNumber,
    destination: extension,
    context,
    createdUs: node.nowUs(),
  });
  for (const [k, value] of Object.entries(o.variables))
    if (k !== 'origination_caller_id_name') channel.variables.set(k, value);
  if (!calls.open(channel)) return { cause: 'DESTINATION_OUT_OF_ORDER' };
  channel.state = 'CS_CONSUME_MEDIA';
  const other = calls.acceptCall({
    profile: 'loopback',
    channelName: `loopback/${extension}-b`,
    context,
    destination: extension,
    callerName: channel.callerName,
    callerNumber: channel.callerNumber,
    variables: {},
    person: o.by?.person,
    far: {
      ringing: () => calls.progress(channel),
      answered: () => {
        if (channel.isOver) return;
        calls.answer(channel);
        won(channel);
      },
      ended: (cause) => calls.hangup(channel, cause),
      heard(sounding, toneHz) {
        channel.tone = toneHz;
        channel.isSounding = sounding;
        channel.onTalk?.(sounding);
      },
    },
  });
  channel.far = {
    ended: (cause) => void (other && calls.hangup(other, cause)),
    pressed: (digits) => other && press(other, digits),
    heard(sounding, toneHz) {
      if (!other) return;
      other.tone = toneHz;
      other.isSounding = sounding;
      other.onTalk?.(sounding);
    },
  };
  return { channel };
}

/** Another node of this process, by the address of its door for nodes. */
export function ringOtherNode(
  node: NodeContext,
  channel: Channel,
  uri: string,
  answers: { progress(): void; answer(): void; fail(cause: string): void },
): void {
  const [username = '', address = ''] = uri.split('@');
  const other = channel.profile === 'internode' ? findRegisteredNode(address) : undefined;
  if (!other || other.isOver) {
    channel.far = { ended: node.later(5, () => failBy(channel, 503, answers)) };
    return;
  }
  const headers = [...channel.variables].filter(([k]) => k.startsWith('sip_h_'));
  let there: Channel | undefined;
  channel.far = {
    ended: (cause) =>
      other.whenAwake(() => there && other.hangup?.(there, there.answeredUs ? cause : 'ORIGINATOR_CANCEL')),
  };
  other.whenAwake(() => {
    there = other.acceptCall?.({
      profile: 'internode',
      context: 'internode',
      destination: username,
      callerName: channel.callerName,
      callerNumber: channel.callerNumber,
      variables: Object.fromEntries(headers),
      person: channel.person,
      far: {
        ringing: () => node.whenAwake(answers.progress),
        answered: () => node.whenAwake(answers.answer),
        ended: (cause) => node.whenAwake(() => answers.fail(cause)),
      },
    });
    if (!there) node.whenAwake(() => answers.fail('DESTINATION_OUT_OF_ORDER'));
  });
}
