/** Dials, connects and ends simulated channels, with the causes and the order of events a real node has. */
import { type Dialled, type DialOptions, type Calls, type AcceptCall } from './call-types';
import { randomUUID } from 'node:crypto';
import type { NodeContext } from '../node-context';
import { parseDialString, type Branch } from './dial-string';
import { finishVariables } from './hangup-variables';
import { Channel } from './channel';
import { ringPhone, type Registrar } from '../phones/registrar';
import { findUser } from '../phones/directory-user';
import { postCdr } from './cdr';
import { ringOtherNode, startLoopback } from './internode-calls';

export function createCalls(node: NodeContext, registrar: Registrar): Calls {
  function open(channel: Channel): boolean {
    if (node.channels.has(channel.uuid)) return false;
    node.channels.set(channel.uuid, channel);
    node.sessionsSinceStart += 1;
    node.sessionPeak = Math.max(node.sessionPeak, node.channels.size);
    const own = { direction: channel.direction, uuid: channel.uuid, session_id: String(node.sessionsSinceStart) };
    for (const [k, v] of Object.entries(own)) if (!channel.variables.has(k)) channel.variables.set(k, v);
    channel.variables.set('call_uuid', channel.variables.get('call_uuid') ?? channel.uuid);
    channel.variables.set('channel_name', channel.channelName);
    channel.variables.set('sip_profile_name', channel.profile);
    channel.variables.set('sofia_profile_name', channel.profile);
    node.emitChannel('CHANNEL_CREATE', channel);
    return true;
  }

  function progress(channel: Channel): void {
    if (channel.isOver || channel.progressUs > 0) return;
    channel.progressUs = node.nowUs();
    if (channel.direction === 'inbound') channel.callState = 'RINGING';
    else channel.state = 'CS_CONSUME_MEDIA';
    node.emitChannel('CHANNEL_PROGRESS', channel);
    channel.callState = 'RINGING';
    channel.far?.ringing?.();
  }

  function answer(channel: Channel): void {
    if (channel.isOver || channel.answeredUs > 0) return;
    channel.answeredUs = node.nowUs();
    channel.answerState = 'answered';
    channel.networkAddress = '127.0.0.1';
    channel.variables.set('endpoint_disposition', 'ANSWER');
    node.emitChannel('CHANNEL_ANSWER', channel);
    channel.callState = 'ACTIVE';
    channel.far?.answered?.();
    // What the directory gave a login, and no plan has taken back.
    const guard = /^hangup (\w+)$/.exec(channel.variables.get('execute_on_answer') ?? '')?.[1];
    if (guard !== undefined) hangup(channel, guard);
  }

  function hangup(channel: Channel, cause: string): void {
    if (channel.isOver) return;
    channel.cause = cause;
    channel.hangupUs = node.nowUs();
    channel.answerState = 'hangup';
    channel.run += 1;
    node.emitChannel('CHANNEL_HANGUP', channel);
    channel.far?.ended(cause);
    channel.leaveRoom?.();
    channel.state = 'CS_REPORTING';
    channel.callState = 'HANGUP';
    finishVariables(channel);
    node.emitChannel('CHANNEL_HANGUP_COMPLETE', channel);
    const peer = channel.peer;
    if (peer) unbridge(channel, peer, cause);
    for (const run of channel.onEnd.splice(0)) run(cause);
    node.emitChannel('CHANNEL_DESTROY', channel);
    node.removeChannel(channel.uuid);
    postCdr(node, channel);
  }

  /** The channel that bridged tells; its own end follows unless its plan goes on. */
  function unbridge(ending: Channel, peer: Channel, cause: string): void {
    ending.peer = undefined;
    peer.peer = undefined;
    const a = ending.other?.type === 'originator' ? peer : ending;
    const extra = { 'Bridge-A-Unique-ID': a.uuid, 'Bridge-B-Unique-ID': a === peer ? ending.uuid : peer.uuid };
    peer.variables.set('bridge_hangup_cause', cause);
    peer.variables.set('last_bridge_hangup_cause', cause);
    node.emitChannel('CHANNEL_UNBRIDGE', a, extra);
    const endsToo = a === ending || peer.endsWithPeer || peer.variables.get('hangup_after_bridge') === 'true';
    if (endsToo) hangup(peer, cause);
  }

  function bridge(a: Channel, b: Channel): void {
    answer(a);
    a.peer = b;
    b.peer = a;
    a.bridgedUs = b.bridgedUs = node.nowUs();
    a.other = { channel: b, type: 'originatee' };
    b.state = 'CS_EXCHANGE_MEDIA';
    a.callState = b.callState = 'ACTIVE';
    a.variables.set('bridge_uuid', b.uuid);
    a.variables.set('signal_bond', b.uuid);
    b.variables.set('signal_bond', a.uuid);
    a.variables.set('last_bridge_to', b.uuid);
    node.emitChannel('CHANNEL_BRIDGE', a, { 'Bridge-A-Unique-ID': a.uuid, 'Bridge-B-Unique-ID': b.uuid });
  }

  function acceptCall(o: AcceptCall): Channel | undefined {
    if (node.isStandby && o.profile === 'internal') {
      o.far?.ended?.('NORMAL_TEMPORARY_FAILURE'); // 503
      return undefined;
    }
    const name = o.channelName ?? `sofia/${o.profile}/${o.callerNumber}@${node.host}`;
    const channel = new Channel({
      uuid: randomUUID(),
      direction: 'inbound',
      channelName: name,
      profile: o.profile,
      callerName: o.callerName,
      callerNumber: o.callerNumber,
      destination: o.destination,
      context: o.context,
      createdUs: node.nowUs(),
    });
    channel.calleeName = '';
    channel.dialplan = 'XML';
    channel.networkAddress = '127.0.0.1';
    channel.far = o.far;
    channel.person = o.person;
    channel.hasVideo = o.person?.().video === true;
    for (const [k, v] of Object.entries(o.variables)) channel.variables.set(k, v);
    channel.variables.set('sip_network_ip', '127.0.0.1');
    channel.variables.set('sip_req_user', o.destination);
    channel.variables.set('sip_to_user', o.destination);
    if (!open(channel)) return undefined;
    node.later(1, () => calls.route(channel));
    return channel;
  }

  /** One end to be rung: a channel to make, or the cause why there is none. */
  async function resolve(
    b: Branch,
    o: DialOptions,
  ): Promise<({ target: string; variables: Record<string, string> } | { cause: string })[]> {
    const user = /^user\/([^@]+)@(.+)$/.exec(b.endpoint);
    if (!user) return [{ target: b.endpoint, variables: b.variables }];
    const [, username = '', domain = ''] = user;
    const found = findUser(
      await node.directory(domain, 'user_outgoing_channel', {
        // What the new channel will carry, and nothing of the channel that dials: user_outgoing_channel() sends no more.
        ...o.variables,
        ...b.variables,
        as_channel: 'true',
        action: 'user_call',
        key: 'id',
        user: username,
        domain,
      }),
    );
    if (!found) return [{ cause: 'SUBSCRIBER_ABSENT' }];
    const dialString = found.params['dial-string'];
    if (!dialString) return [{ cause: 'DESTINATION_OUT_OF_ORDER' }];
    const inner = parseDialString(calls.expand(dialString, o.by));
    if (!inner) return [{ cause: 'DESTINATION_OUT_OF_ORDER' }];
    const base = {
      dialed_user: username,
      dialed_domain: domain,
      presence_id: `${username}@${domain}`,
      ...found.variables,
    };
    return inner.sequence.flat().map((i) => ({
      target: i.endpoint,
      variables: { ...base, ...b.variables, ...inner.variables, ...i.variables },
    }));
  }

  async function dial(o: DialOptions): Promise<Dialled> {
    const parsed = parseDialString(o.dialString);
    if (!parsed) return { cause: 'DESTINATION_OUT_OF_ORDER' };
    const merged = { ...o, variables: { ...o.variables, ...parsed.variables } };
    let cause = 'DESTINATION_OUT_OF_ORDER';
    for (const group of parsed.sequence) {
      const targets = (await Promise.all(group.map((b) => resolve(b, merged)))).flat();
      if (node.isOver || o.by?.isOver) return { cause: 'ORIGINATOR_CANCEL' };
      const result = await ringAll(targets, merged);
      if ('channel' in result) return result;
      cause = result.cause;
      if (cause === 'ORIGINATOR_CANCEL') break;
    }
    return { cause };
  }

  function ringAll(
    targets: ({ target: string; variables: Record<string, string> } | { cause: string })[],
    o: DialOptions,
  ): Promise<Dialled> {
    return new Promise((done) => {
      const ringing = new Set<Channel>();
      let settled = false;
      let cause = 'DESTINATION_OUT_OF_ORDER';
      let starting = true;
      const stopTimer = node.later(o.timeoutSeconds * 1000, () => giveUp('NO_ANSWER'));
      const finish = (result: Dialled): void => {
        if (settled) return;
        settled = true;
        stopTimer();
        done(result);
      };
      const giveUp = (why: string, result = why): void => {
        if (settled) return;
        cause = result;
        for (const channel of [...ringing]) hangup(channel, why);
        finish({ cause: result });
      };
      o.by?.onEnd.push(() => giveUp('ORIGINATOR_CANCEL'));
      const won = (channel: Channel): void => {
        ringing.delete(channel);
        if (settled) return hangup(channel, 'LOSE_RACE');
        finish({ channel });
        for (const other of [...ringing]) hangup(other, 'LOSE_RACE');
      };
      for (const t of targets) {
        if ('cause' in t) cause = t.cause;
        else {
          const started = startChannel(t.target, { ...o, variables: { ...o.variables, ...t.variables } }, won);
          if ('cause' in started) cause = started.cause;
          else {
            ringing.add(started.channel);
            started.channel.onEnd.push((why) => {
              if (!ringing.delete(started.channel)) return;
              cause = why;
              if (ringing.size === 0 && !starting) finish({ cause });
            });
          }
        }
      }
      starting = false;
      if (ringing.size === 0) finish({ cause });
    });
  }

  function startChannel(
    target: string,
    o: DialOptions,
    won: (channel: Channel) => void,
  ): { channel: Channel } | { cause: string } {
    if (target.startsWith('error/')) return { cause: target.slice(6).toUpperCase() };
    if (target.startsWith('loopback/')) return startLoopback({ node, calls }, target, o, won);
    const sofia = /^sofia\/([^/]+)\/(.+)$/s.exec(target);
    if (!sofia) return { cause: 'CHAN_NOT_IMPLEMENTED' };
    const [, profile = '', address = ''] = sofia;
    if (profile !== 'internal' && profile !== 'internode') return { cause: 'INVALID_PROFILE' };
    if (node.isStandby && profile === 'internal') return { cause: 'SYSTEM_SHUTDOWN' };
    const uri = address.replace(/^sips?:/, '');
    const v = o.variables;
    const uuid = v.origination_uuid ?? randomUUID();
    const callerName = v.origination_caller_id_name ?? o.callerName;
    const callerNumber = v.origination_caller_id_number ?? o.callerNumber;
    const destination = v.dialed_user ?? uri.split('@')[0] ?? '';
    const channel = new Channel({
      uuid,
      direction: 'outbound',
      channelName: `sofia/${profile}/${uri}`,
      profile,
      callerName,
      callerNumber,
      destination,
      context: o.by?.context ?? 'default',
      createdUs: node.nowUs(),
    });
    channel.calleeNumber = destination;
    channel.variables.set('is_outbound', 'true');
    channel.variables.set('sip_destination_url', `sip:${uri}`);
    for (const [k, value] of Object.entries(v)) if (k !== 'origination_caller_id_name') channel.variables.set(k, value);
    if (o.by) {
      channel.other = { channel: o.by, type: 'originator' };
      channel.variables.set('call_uuid', o.by.variables.get('call_uuid') ?? o.by.uuid);
      channel.variables.set('originator', o.by.uuid);
      channel.variables.set('originating_leg_uuid', o.by.uuid);
    }
    if (!open(channel)) return { cause: 'DESTINATION_OUT_OF_ORDER' };
    channel.state = 'CS_CONSUME_MEDIA';
    const answers = {
      progress: (): void => {
        progress(channel);
        if (o.by && o.by.direction === 'inbound') progress(o.by);
      },
      answer: (): void => {
        if (channel.isOver) return;
        answer(channel);
        won(channel);
      },
      fail: (why: string): void => hangup(channel, why),
    };
    const stopChannelTimeout = v.leg_timeout
      ? node.later(Number(v.leg_timeout) * 1000, () => channel.answeredUs || hangup(channel, 'NO_ANSWER'))
      : undefined;
    if (stopChannelTimeout) channel.onEnd.push(stopChannelTimeout);
    const phone = profile === 'internal' ? registrar.at(`sip:${uri}`) : undefined;
    channel.person = phone ? () => phone.behaviour : o.by?.person;
    channel.hasVideo = channel.person?.().video === true;
    if (phone) channel.far = ringPhone(node, phone, channel, answers);
    else ringOtherNode(node, channel, uri, answers);
    return { channel };
  }

  const calls: Calls = {
    dial,
    hangup,
    answer,
    progress,
    bridge,
    open,
    acceptCall,
    route: () => undefined,
    expand: (t) => t,
  };
  node.acceptCall = acceptCall;
  node.hangup = hangup;
  return calls;
}
