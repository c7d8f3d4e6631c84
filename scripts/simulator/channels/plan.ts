/** Runs a channel through the plan it was answered with: the applications Switchyard uses, as FreeSWITCH runs them. */
import type { Calls } from './call-types';
import { collectDigits } from './digits';
import type { NodeContext } from '../node-context';
import type { Element } from '../../../src/freeswitch/xml/document';
import type { Channel } from './channel';
import { soundLengthMs } from '../conference/sounds';
import type { Rooms } from '../conference/rooms';
import { toneOf } from '../media/tones';
import { child, childrenOf } from '../xml-client';

export interface Step {
  app: string;
  data: string;
}

export interface Plans {
  /** Asks for a plan and runs it. */
  route(channel: Channel): Promise<void>;
  /** Sends a channel to another extension. */
  transfer(channel: Channel, extension: string, context: string): void;
  run(channel: Channel, steps: Step[]): Promise<void>;
  expand(text: string, channel?: Channel): string;
}

const SIP_CAUSES: Record<string, string> = {
  '403': 'CALL_REJECTED',
  '404': 'UNALLOCATED_NUMBER',
  '408': 'RECOVERY_ON_TIMER_EXPIRE',
  '480': 'NO_USER_RESPONSE',
  '484': 'INVALID_NUMBER_FORMAT',
  '486': 'USER_BUSY',
  '503': 'NORMAL_TEMPORARY_FAILURE',
  '603': 'CALL_REJECTED',
};
/** After these a failed bridge lets the plan go on. */
const GOES_ON = new Set(['NO_ANSWER', 'NO_USER_RESPONSE', 'ORIGINATOR_CANCEL']);
const NEVER = new Promise<void>(() => undefined);

export function createPlans(node: NodeContext, calls: Calls, rooms: Rooms, api: (line: string) => string): Plans {
  /** `${name}` is a variable, `${name(args)}` runs a command: on a simulated node as on a real one. */
  const expand = (text: string, channel?: Channel): string =>
    text.replace(/\$\{([^{}]*)\}/g, (_, inside: string) => {
      const command = /^(\w+)\((.*)\)$/s.exec(inside);
      if (command) return api(`${command[1]!} ${command[2]!}`);
      return channel?.variables.get(inside) ?? channel?.variables.get(inside.replace(/^variable_/, '')) ?? '';
    });

  async function route(channel: Channel): Promise<void> {
    const run = ++channel.run;
    channel.state = 'CS_ROUTING';
    channel.dialplan = 'XML';
    const hunt: Record<string, string> = {};
    channel.writeProfile(hunt, 'Hunt');
    const section = await node.ask({
      section: 'dialplan',
      tag_name: '',
      key_name: '',
      key_value: '',
      ...node.stamp('REQUEST_PARAMS', 'mod_dialplan_xml.c', 'dialplan_xml_locate'),
      ...channel.headers(),
      ...hunt,
    });
    if (channel.isOver || channel.run !== run || node.isOver) return;
    flipCallerId(channel);
    const steps = stepsFor(section, channel.context, channel.destination);
    if (!steps) return calls.hangup(channel, 'NO_ROUTE_DESTINATION');
    await runSteps(channel, steps, run);
  }

  async function runSteps(channel: Channel, steps: Step[], run: number): Promise<void> {
    channel.state = 'CS_EXECUTE';
    for (const step of steps) {
      if (channel.isOver || channel.run !== run) return;
      channel.application = step.app;
      channel.applicationData = expand(step.data, channel);
      channel.variables.set('current_application', step.app);
      channel.variables.set('current_application_data', channel.applicationData);
      await execute(channel, step.app, channel.applicationData);
    }
    if (!channel.isOver && channel.run === run) calls.hangup(channel, 'NORMAL_CLEARING');
  }

  async function execute(channel: Channel, app: string, data: string): Promise<void> {
    switch (app) {
      case 'set':
      case 'export':
        return setVariable(channel, data, app === 'export');
      case 'unset':
        channel.variables.delete(data);
        return;
      case 'answer':
        return calls.answer(channel);
      case 'ring_ready':
        return calls.progress(channel);
      case 'pre_answer':
        channel.answerState = 'early';
        return node.emitChannel('CHANNEL_PROGRESS_MEDIA', channel);
      case 'hangup':
        return calls.hangup(channel, causeNamed(data));
      case 'respond':
        return calls.hangup(channel, SIP_CAUSES[data.split(' ')[0]!] ?? 'NORMAL_CLEARING');
      case 'sleep':
        return pause(Number(data) || 0);
      case 'playback':
        calls.answer(channel);
        return playback(channel, data);
      case 'play_and_get_digits':
        calls.answer(channel);
        return collectDigits(node, channel, data);
      case 'set_profile_var':
        return setProfileVariable(channel, data);
      case 'transfer': {
        const [extension = '', , context] = data.split(' ');
        plans.transfer(channel, extension, context ?? channel.context);
        return;
      }
      case 'conference':
        return rooms.enter(channel, data);
      case 'echo':
        calls.answer(channel);
        return NEVER;
      case 'park':
        calls.answer(channel);
        return NEVER;
      case 'bridge':
        return bridge(channel, data);
      default:
        return; // log, info and the like leave no trace on the wire
    }
  }

  const pause = (ms: number): Promise<void> => new Promise((done) => void node.later(ms, done));

  async function playback(channel: Channel, file: string): Promise<void> {
    const ms = soundLengthMs(file);
    if (ms === undefined) {
      channel.variables.set('playback_terminator_used', '');
      return;
    }
    channel.far?.heard?.(true, toneOf(file));
    await pause(ms);
    channel.far?.heard?.(false);
  }

  function setProfileVariable(channel: Channel, data: string): void {
    const at = data.indexOf('=');
    const [name, value] = [data.slice(0, at), data.slice(at + 1)];
    if (name === 'caller_id_name') channel.callerName = value;
    if (name === 'caller_id_number') channel.callerNumber = value;
  }

  function setVariable(channel: Channel, data: string, exported: boolean): void {
    const nolocal = exported && data.startsWith('nolocal:');
    const text = nolocal ? data.slice(8) : data;
    const at = text.indexOf('=');
    const [name, value] = [text.slice(0, at), text.slice(at + 1)];
    if (at < 1) return;
    channel.variables.set(nolocal ? `nolocal:${name}` : name, value);
    if (exported) {
      const list = channel.variables.get('export_vars');
      const entry = nolocal ? `nolocal:${name}` : name;
      channel.variables.set('export_vars', list ? `${list},${entry}` : entry);
    }
  }

  async function bridge(a: Channel, dialString: string): Promise<void> {
    const variables: Record<string, string> = {};
    for (const entry of (a.variables.get('export_vars') ?? '').split(',').filter(Boolean)) {
      const value = a.variables.get(entry);
      if (value !== undefined) variables[entry.replace(/^nolocal:/, '')] = value;
    }
    const isUser = /(^|\])user\//.test(dialString);
    const timeout = Number(a.variables.get(isUser ? 'call_timeout' : 'originate_timeout') ?? '') || 60;
    if (a.answeredUs > 0) a.callState = 'RING_WAIT';
    const run = a.run;
    const result = await calls.dial({
      dialString,
      variables,
      timeoutSeconds: timeout,
      by: a,
      callerName: a.variables.get('effective_caller_id_name') ?? a.callerName,
      callerNumber: a.variables.get('effective_caller_id_number') ?? a.callerNumber,
    });
    if (a.isOver || a.run !== run) {
      if ('channel' in result) calls.hangup(result.channel, 'ORIGINATOR_CANCEL');
      return;
    }
    if (a.callState === 'RING_WAIT') a.callState = 'ACTIVE';
    if ('channel' in result) {
      a.variables.set('originate_disposition', 'SUCCESS');
      a.variables.set('DIALSTATUS', 'SUCCESS');
      calls.bridge(a, result.channel);
      await new Promise<void>((done) => result.channel.onEnd.push(() => done()));
      return;
    }
    a.variables.set('originate_disposition', result.cause);
    a.variables.set('DIALSTATUS', result.cause);
    a.variables.set('originate_failed_cause', result.cause);
    const goOn = a.variables.get('continue_on_fail') === 'true' || GOES_ON.has(result.cause);
    if (!goOn) calls.hangup(a, result.cause);
  }

  const plans: Plans = {
    route,
    expand,
    run(channel, steps) {
      channel.run += 1;
      channel.leaveRoom?.();
      return runSteps(channel, steps, channel.run);
    },
    transfer(channel, extension, context) {
      channel.run += 1;
      channel.leaveRoom?.();
      channel.rdnis = channel.destination;
      channel.destination = extension;
      channel.context = context;
      channel.profileIndex += 1;
      void route(channel);
    },
  };
  calls.route = (channel) => void route(channel);
  calls.expand = expand;
  return plans;
}

/** A channel we made that then runs a plan becomes the caller: FreeSWITCH swaps its two names. */
function flipCallerId(channel: Channel): void {
  if (channel.direction !== 'outbound' || channel.variables.get('channel_cid_flipped')) return;
  channel.variables.set('channel_cid_flipped', 'yes');
  channel.variables.set('pre_transfer_caller_id_number', channel.callerNumber);
  [channel.callerName, channel.calleeName] = [channel.calleeName, channel.callerName];
  [channel.callerNumber, channel.calleeNumber] = [channel.calleeNumber, channel.callerNumber];
}

function causeNamed(text: string): string {
  return /^[A-Z0-9_]+$/.test(text) ? text : 'NORMAL_CLEARING';
}

/** The actions of the first extension whose condition holds; undefined where there is none. */
function stepsFor(section: Element | undefined, context: string, destination: string): Step[] | undefined {
  const plan = childrenOf(section, 'context').find((c) => [context, 'any'].includes(String(c.attributes?.name)));
  for (const extension of childrenOf(plan, 'extension')) {
    const condition = child(extension, 'condition');
    const expression = condition?.attributes?.expression;
    if (!condition || (expression !== undefined && !new RegExp(String(expression)).test(destination))) continue;
    return childrenOf(condition, 'action').map((action) => ({
      app: String(action.attributes?.application ?? ''),
      data: String(action.attributes?.data ?? ''),
    }));
  }
  return undefined;
}
