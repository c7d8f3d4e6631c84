/** Runs a channel through the plan it was answered with: the applications Switchyard uses, as FreeSWITCH runs them. */
import type { Calls } from './calls';
import { collectDigits } from './digits';
import type { NodeCore } from '../node-context';
import type { Element } from '../../../src/freeswitch/xml/document';
import type { Leg } from './channel';
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
  route(leg: Leg): Promise<void>;
  /** Sends a channel to another extension. */
  transfer(leg: Leg, extension: string, context: string): void;
  run(leg: Leg, steps: Step[]): Promise<void>;
  expand(text: string, leg?: Leg): string;
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

export function createPlans(core: NodeCore, calls: Calls, rooms: Rooms, api: (line: string) => string): Plans {
  /** `${name}` is a variable, `${name(args)}` runs a command: on a simulated node as on a real one. */
  const expand = (text: string, leg?: Leg): string =>
    text.replace(/\$\{([^{}]*)\}/g, (_, inside: string) => {
      const command = /^(\w+)\((.*)\)$/s.exec(inside);
      if (command) return api(`${command[1]!} ${command[2]!}`);
      return leg?.variables.get(inside) ?? leg?.variables.get(inside.replace(/^variable_/, '')) ?? '';
    });

  async function route(leg: Leg): Promise<void> {
    const run = ++leg.run;
    leg.state = 'CS_ROUTING';
    leg.dialplan = 'XML';
    const hunt: Record<string, string> = {};
    leg.writeProfile(hunt, 'Hunt');
    const section = await core.ask({
      section: 'dialplan',
      tag_name: '',
      key_name: '',
      key_value: '',
      ...core.stamp('REQUEST_PARAMS', 'mod_dialplan_xml.c', 'dialplan_xml_locate'),
      ...leg.headers(),
      ...hunt,
    });
    if (leg.isOver || leg.run !== run || core.isOver) return;
    flipCallerId(leg);
    const steps = stepsFor(section, leg.context, leg.destination);
    if (!steps) return calls.hangup(leg, 'NO_ROUTE_DESTINATION');
    await runSteps(leg, steps, run);
  }

  async function runSteps(leg: Leg, steps: Step[], run: number): Promise<void> {
    leg.state = 'CS_EXECUTE';
    for (const step of steps) {
      if (leg.isOver || leg.run !== run) return;
      leg.application = step.app;
      leg.applicationData = expand(step.data, leg);
      leg.variables.set('current_application', step.app);
      leg.variables.set('current_application_data', leg.applicationData);
      await execute(leg, step.app, leg.applicationData);
    }
    if (!leg.isOver && leg.run === run) calls.hangup(leg, 'NORMAL_CLEARING');
  }

  async function execute(leg: Leg, app: string, data: string): Promise<void> {
    switch (app) {
      case 'set':
      case 'export':
        return setVariable(leg, data, app === 'export');
      case 'unset':
        leg.variables.delete(data);
        return;
      case 'answer':
        return calls.answer(leg);
      case 'ring_ready':
        return calls.progress(leg);
      case 'pre_answer':
        leg.answerState = 'early';
        return core.emitLeg('CHANNEL_PROGRESS_MEDIA', leg);
      case 'hangup':
        return calls.hangup(leg, causeNamed(data));
      case 'respond':
        return calls.hangup(leg, SIP_CAUSES[data.split(' ')[0]!] ?? 'NORMAL_CLEARING');
      case 'sleep':
        return pause(Number(data) || 0);
      case 'playback':
        calls.answer(leg);
        return playback(leg, data);
      case 'play_and_get_digits':
        calls.answer(leg);
        return collectDigits(core, leg, data);
      case 'set_profile_var':
        return setProfileVariable(leg, data);
      case 'transfer': {
        const [extension = '', , context] = data.split(' ');
        plans.transfer(leg, extension, context ?? leg.context);
        return;
      }
      case 'conference':
        return rooms.enter(leg, data);
      case 'echo':
        calls.answer(leg);
        return NEVER;
      case 'park':
        calls.answer(leg);
        return NEVER;
      case 'bridge':
        return bridge(leg, data);
      default:
        return; // log, info and the like leave no trace on the wire
    }
  }

  const pause = (ms: number): Promise<void> => new Promise((done) => void core.later(ms, done));

  async function playback(leg: Leg, file: string): Promise<void> {
    const ms = soundLengthMs(file);
    if (ms === undefined) {
      leg.variables.set('playback_terminator_used', '');
      return;
    }
    leg.far?.heard?.(true, toneOf(file));
    await pause(ms);
    leg.far?.heard?.(false);
  }

  function setProfileVariable(leg: Leg, data: string): void {
    const at = data.indexOf('=');
    const [name, value] = [data.slice(0, at), data.slice(at + 1)];
    if (name === 'caller_id_name') leg.callerName = value;
    if (name === 'caller_id_number') leg.callerNumber = value;
  }

  function setVariable(leg: Leg, data: string, exported: boolean): void {
    const nolocal = exported && data.startsWith('nolocal:');
    const text = nolocal ? data.slice(8) : data;
    const at = text.indexOf('=');
    const [name, value] = [text.slice(0, at), text.slice(at + 1)];
    if (at < 1) return;
    leg.variables.set(nolocal ? `nolocal:${name}` : name, value);
    if (exported) {
      const list = leg.variables.get('export_vars');
      const entry = nolocal ? `nolocal:${name}` : name;
      leg.variables.set('export_vars', list ? `${list},${entry}` : entry);
    }
  }

  async function bridge(a: Leg, dialString: string): Promise<void> {
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
      if ('leg' in result) calls.hangup(result.leg, 'ORIGINATOR_CANCEL');
      return;
    }
    if (a.callState === 'RING_WAIT') a.callState = 'ACTIVE';
    if ('leg' in result) {
      a.variables.set('originate_disposition', 'SUCCESS');
      a.variables.set('DIALSTATUS', 'SUCCESS');
      calls.bridge(a, result.leg);
      await new Promise<void>((done) => result.leg.onEnd.push(() => done()));
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
    run(leg, steps) {
      leg.run += 1;
      leg.leaveRoom?.();
      return runSteps(leg, steps, leg.run);
    },
    transfer(leg, extension, context) {
      leg.run += 1;
      leg.leaveRoom?.();
      leg.rdnis = leg.destination;
      leg.destination = extension;
      leg.context = context;
      leg.profileIndex += 1;
      void route(leg);
    },
  };
  calls.route = (leg) => void route(leg);
  calls.expand = expand;
  return plans;
}

/** A channel we made that then runs a plan becomes the caller: FreeSWITCH swaps its two names. */
function flipCallerId(leg: Leg): void {
  if (leg.direction !== 'outbound' || leg.variables.get('channel_cid_flipped')) return;
  leg.variables.set('channel_cid_flipped', 'yes');
  leg.variables.set('pre_transfer_caller_id_number', leg.callerNumber);
  [leg.callerName, leg.calleeName] = [leg.calleeName, leg.callerName];
  [leg.callerNumber, leg.calleeNumber] = [leg.calleeNumber, leg.callerNumber];
}

function causeNamed(text: string): string {
  return /^[A-Z0-9_]+$/.test(text) ? text : 'NORMAL_CLEARING';
}

/** The actions of the first extension whose condition holds; undefined where there is none. */
export function stepsFor(section: Element | undefined, context: string, destination: string): Step[] | undefined {
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
