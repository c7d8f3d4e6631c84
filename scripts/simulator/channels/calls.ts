/** Dials, connects and ends simulated channels, with the causes and the order of events a real node has. */
import { randomUUID } from 'node:crypto';
import type { NodeCore } from '../node-context';
import { parseDialString, type Branch } from './dial-string';
import { finishVariables } from './hangup-variables';
import { Leg } from './channel';
import { findUser, ringPhone, type Registrar } from '../phones/registrar';
import { postCdr } from './cdr';
import { ringOtherNode, startLoopback } from './internode-calls';

export type Dialled = { leg: Leg } | { cause: string };

export interface DialOptions {
  dialString: string;
  variables: Record<string, string>;
  timeoutSeconds: number;
  /** The channel that bridges. */
  by?: Leg;
  callerName: string;
  callerNumber: string;
}

export interface Calls {
  dial(o: DialOptions): Promise<Dialled>;
  hangup(leg: Leg, cause: string): void;
  answer(leg: Leg): void;
  progress(leg: Leg): void;
  bridge(a: Leg, b: Leg): void;
  open(leg: Leg): boolean;
  /** Takes a call in from a phone or another node: its channel, ready to run a plan. */
  takeIn(o: TakeIn): Leg | undefined;
  /** Set by the plan runner: what to do with a channel that came in. */
  route: (leg: Leg) => void;
  /** Set by the plan runner: fills `${…}` in a dial string. */
  expand: (text: string, leg?: Leg) => string;
}

export interface TakeIn {
  profile: 'internal' | 'internode' | 'loopback';
  /** Left out: that of a SIP channel. */
  channelName?: string;
  /** Who is at the other end, however many nodes away. */
  person?: Leg['person'];
  context: string;
  destination: string;
  callerName: string;
  callerNumber: string;
  variables: Record<string, string>;
  far: Leg['far'];
}

export function createCalls(core: NodeCore, registrar: Registrar): Calls {
  function open(leg: Leg): boolean {
    if (core.legs.has(leg.uuid)) return false;
    core.legs.set(leg.uuid, leg);
    core.sessionsSinceStart += 1;
    core.sessionPeak = Math.max(core.sessionPeak, core.legs.size);
    const own = { direction: leg.direction, uuid: leg.uuid, session_id: String(core.sessionsSinceStart) };
    for (const [k, v] of Object.entries(own)) if (!leg.variables.has(k)) leg.variables.set(k, v);
    leg.variables.set('call_uuid', leg.variables.get('call_uuid') ?? leg.uuid);
    leg.variables.set('channel_name', leg.channelName);
    leg.variables.set('sip_profile_name', leg.profile);
    leg.variables.set('sofia_profile_name', leg.profile);
    core.emitLeg('CHANNEL_CREATE', leg);
    return true;
  }

  function progress(leg: Leg): void {
    if (leg.isOver || leg.progressUs > 0) return;
    leg.progressUs = core.nowUs();
    if (leg.direction === 'inbound') leg.callState = 'RINGING';
    else leg.state = 'CS_CONSUME_MEDIA';
    core.emitLeg('CHANNEL_PROGRESS', leg);
    leg.callState = 'RINGING';
    leg.far?.ringing?.();
  }

  function answer(leg: Leg): void {
    if (leg.isOver || leg.answeredUs > 0) return;
    leg.answeredUs = core.nowUs();
    leg.answerState = 'answered';
    leg.networkAddress = '127.0.0.1';
    leg.variables.set('endpoint_disposition', 'ANSWER');
    core.emitLeg('CHANNEL_ANSWER', leg);
    leg.callState = 'ACTIVE';
    leg.far?.answered?.();
    // What the directory gave a login, and no plan has taken back.
    const guard = /^hangup (\w+)$/.exec(leg.variables.get('execute_on_answer') ?? '')?.[1];
    if (guard !== undefined) hangup(leg, guard);
  }

  function hangup(leg: Leg, cause: string): void {
    if (leg.isOver) return;
    leg.cause = cause;
    leg.hangupUs = core.nowUs();
    leg.answerState = 'hangup';
    leg.run += 1;
    core.emitLeg('CHANNEL_HANGUP', leg);
    leg.far?.ended(cause);
    leg.leaveRoom?.();
    leg.state = 'CS_REPORTING';
    leg.callState = 'HANGUP';
    finishVariables(leg);
    core.emitLeg('CHANNEL_HANGUP_COMPLETE', leg);
    const peer = leg.peer;
    if (peer) unbridge(leg, peer, cause);
    for (const run of leg.onEnd.splice(0)) run(cause);
    core.emitLeg('CHANNEL_DESTROY', leg);
    core.removeLeg(leg.uuid);
    postCdr(core, leg);
  }

  /** The channel that bridged tells; its own end follows unless its plan goes on. */
  function unbridge(ending: Leg, peer: Leg, cause: string): void {
    ending.peer = undefined;
    peer.peer = undefined;
    const a = ending.other?.type === 'originator' ? peer : ending;
    const extra = { 'Bridge-A-Unique-ID': a.uuid, 'Bridge-B-Unique-ID': a === peer ? ending.uuid : peer.uuid };
    peer.variables.set('bridge_hangup_cause', cause);
    peer.variables.set('last_bridge_hangup_cause', cause);
    core.emitLeg('CHANNEL_UNBRIDGE', a, extra);
    const endsToo = a === ending || peer.endsWithPeer || peer.variables.get('hangup_after_bridge') === 'true';
    if (endsToo) hangup(peer, cause);
  }

  function bridge(a: Leg, b: Leg): void {
    answer(a);
    a.peer = b;
    b.peer = a;
    a.bridgedUs = b.bridgedUs = core.nowUs();
    a.other = { leg: b, type: 'originatee' };
    b.state = 'CS_EXCHANGE_MEDIA';
    a.callState = b.callState = 'ACTIVE';
    a.variables.set('bridge_uuid', b.uuid);
    a.variables.set('signal_bond', b.uuid);
    b.variables.set('signal_bond', a.uuid);
    a.variables.set('last_bridge_to', b.uuid);
    core.emitLeg('CHANNEL_BRIDGE', a, { 'Bridge-A-Unique-ID': a.uuid, 'Bridge-B-Unique-ID': b.uuid });
  }

  function takeIn(o: TakeIn): Leg | undefined {
    if (core.isStandby && o.profile === 'internal') {
      o.far?.ended?.('NORMAL_TEMPORARY_FAILURE'); // 503
      return undefined;
    }
    const name = o.channelName ?? `sofia/${o.profile}/${o.callerNumber}@${core.host}`;
    const leg = new Leg(
      randomUUID(),
      'inbound',
      name,
      o.profile,
      o.callerName,
      o.callerNumber,
      o.destination,
      o.context,
      core.nowUs(),
    );
    leg.calleeName = '';
    leg.dialplan = 'XML';
    leg.networkAddress = '127.0.0.1';
    leg.far = o.far;
    leg.person = o.person;
    leg.hasVideo = o.person?.().video === true;
    for (const [k, v] of Object.entries(o.variables)) leg.variables.set(k, v);
    leg.variables.set('sip_network_ip', '127.0.0.1');
    leg.variables.set('sip_req_user', o.destination);
    leg.variables.set('sip_to_user', o.destination);
    if (!open(leg)) return undefined;
    core.later(1, () => calls.route(leg));
    return leg;
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
      await core.directory(domain, 'user_outgoing_channel', {
        // What the new leg will carry, and nothing of the channel that dials: user_outgoing_channel() sends no more.
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
      if (core.isOver || o.by?.isOver) return { cause: 'ORIGINATOR_CANCEL' };
      const result = await ringAll(targets, merged);
      if ('leg' in result) return result;
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
      const ringing = new Set<Leg>();
      let settled = false;
      let cause = 'DESTINATION_OUT_OF_ORDER';
      let starting = true;
      const stopTimer = core.later(o.timeoutSeconds * 1000, () => giveUp('NO_ANSWER'));
      const finish = (result: Dialled): void => {
        if (settled) return;
        settled = true;
        stopTimer();
        done(result);
      };
      const giveUp = (why: string, result = why): void => {
        if (settled) return;
        cause = result;
        for (const leg of [...ringing]) hangup(leg, why);
        finish({ cause: result });
      };
      o.by?.onEnd.push(() => giveUp('ORIGINATOR_CANCEL'));
      const won = (leg: Leg): void => {
        ringing.delete(leg);
        if (settled) return hangup(leg, 'LOSE_RACE');
        finish({ leg });
        for (const other of [...ringing]) hangup(other, 'LOSE_RACE');
      };
      for (const t of targets) {
        if ('cause' in t) cause = t.cause;
        else {
          const started = startLeg(t.target, { ...o, variables: { ...o.variables, ...t.variables } }, won);
          if ('cause' in started) cause = started.cause;
          else {
            ringing.add(started.leg);
            started.leg.onEnd.push((why) => {
              if (!ringing.delete(started.leg)) return;
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

  function startLeg(target: string, o: DialOptions, won: (leg: Leg) => void): { leg: Leg } | { cause: string } {
    if (target.startsWith('error/')) return { cause: target.slice(6).toUpperCase() };
    if (target.startsWith('loopback/')) return startLoopback({ core, calls }, target, o, won);
    const sofia = /^sofia\/([^/]+)\/(.+)$/s.exec(target);
    if (!sofia) return { cause: 'CHAN_NOT_IMPLEMENTED' };
    const [, profile = '', address = ''] = sofia;
    if (profile !== 'internal' && profile !== 'internode') return { cause: 'INVALID_PROFILE' };
    if (core.isStandby && profile === 'internal') return { cause: 'SYSTEM_SHUTDOWN' };
    const uri = address.replace(/^sips?:/, '');
    const v = o.variables;
    const uuid = v.origination_uuid ?? randomUUID();
    const callerName = v.origination_caller_id_name ?? o.callerName;
    const callerNumber = v.origination_caller_id_number ?? o.callerNumber;
    const destination = v.dialed_user ?? uri.split('@')[0] ?? '';
    const leg = new Leg(
      uuid,
      'outbound',
      `sofia/${profile}/${uri}`,
      profile,
      callerName,
      callerNumber,
      destination,
      o.by?.context ?? 'default',
      core.nowUs(),
    );
    leg.calleeNumber = destination;
    leg.variables.set('is_outbound', 'true');
    leg.variables.set('sip_destination_url', `sip:${uri}`);
    for (const [k, value] of Object.entries(v)) if (k !== 'origination_caller_id_name') leg.variables.set(k, value);
    if (o.by) {
      leg.other = { leg: o.by, type: 'originator' };
      leg.variables.set('call_uuid', o.by.variables.get('call_uuid') ?? o.by.uuid);
      leg.variables.set('originator', o.by.uuid);
      leg.variables.set('originating_leg_uuid', o.by.uuid);
    }
    if (!open(leg)) return { cause: 'DESTINATION_OUT_OF_ORDER' };
    leg.state = 'CS_CONSUME_MEDIA';
    const answers = {
      progress: (): void => {
        progress(leg);
        if (o.by && o.by.direction === 'inbound') progress(o.by);
      },
      answer: (): void => {
        if (leg.isOver) return;
        answer(leg);
        won(leg);
      },
      fail: (why: string): void => hangup(leg, why),
    };
    const stopLegTimeout = v.leg_timeout
      ? core.later(Number(v.leg_timeout) * 1000, () => leg.answeredUs || hangup(leg, 'NO_ANSWER'))
      : undefined;
    if (stopLegTimeout) leg.onEnd.push(stopLegTimeout);
    const phone = profile === 'internal' ? registrar.at(`sip:${uri}`) : undefined;
    leg.person = phone ? () => phone.behaviour : o.by?.person;
    leg.hasVideo = leg.person?.().video === true;
    if (phone) leg.far = ringPhone(core, phone, leg, answers);
    else ringOtherNode(core, leg, uri, answers);
    return { leg };
  }

  const calls: Calls = {
    dial,
    hangup,
    answer,
    progress,
    bridge,
    open,
    takeIn,
    route: () => undefined,
    expand: (t) => t,
  };
  core.takeIn = takeIn;
  core.hangup = hangup;
  return calls;
}
