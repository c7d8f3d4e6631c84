/** Answers to "where does this channel go": plans made of few applications, with nothing in them that a person can run. */
import { SwitchyardError } from '../../errors';
import { ANSWER_GUARD, NOT_REGISTERED } from './directory';
import { documentXml, element } from './document';
import { addressPart, callerNameText, escapeText, isPlainValue } from './escape';
import { INTERNODE_CONTEXT, USERS_CONTEXT } from '../contexts';

/** One application and its data. */
export interface Action {
  app: string;
  data?: string;
}

/**
 * A plan as a whole answer: one extension that always matches, so no part of the number is substituted into data. It
 * first takes back the guard that the directory gave the channel: from here on it may be answered.
 */
export function dialplanXml(context: string, extensionName: string, actions: Action[]): string {
  const steps = [{ app: 'unset', data: ANSWER_GUARD.name }, ...actions].map(({ app, data }) =>
    element('action', { application: app, ...(data === undefined ? {} : { data }) }),
  );
  return documentXml('dialplan', [
    // It is what the node asked for: a word of ours, or whatever a node makes up.
    element('context', { name: escapeText(context) }, [
      element('extension', { name: escapeText(extensionName) }, [element('condition', {}, steps)]),
    ]),
  ]);
}

/**
 * The same plan, for a channel that takes and sends media at the address and port of its SDP alone. It stands before all
 * else in the plan: the variable is read when the channel is answered or sends early media (activate_rtp).
 */
export function withFixedMedia(plan: string): string {
  const data = 'disable_rtp_auto_adjust=true';
  return plan.replace(/<condition>/, `<condition><action application="set" data="${data}"/>`);
}

/** The channel variable in which a leg shows what it was let in for, should nobody else know it any more. */
export const PROOF_VARIABLE = 'switchyard_proof';

/** The call that a plan names; undefined where it names none, or refuses. */
export function readCallOfPlan(plan: string): string | undefined {
  if (plan.includes('switchyard_refused=')) return undefined;
  return /application="set" data="switchyard_call_id=([0-9a-f-]{36})"/.exec(plan)?.[1];
}

/** The same plan, for a channel that shows this proof, as do all that it makes. @param token a token of ours */
export function withProof(plan: string, token: string): string {
  if (!isPlainValue(token)) return plan;
  const steps = [`set" data="${PROOF_VARIABLE}=${token}`, `export" data="nolocal:${PROOF_VARIABLE}=${token}`];
  return plan.replace(/<condition>/, `<condition>${steps.map((s) => `<action application="${s}"/>`).join('')}`);
}

/** Who a leg belongs to, for the events and CDRs of it and of the legs it makes. */
export interface CallVariables {
  callId: string;
  /** What this channel is in the call; left out where it was set before (by originate). */
  legRole?: 'from' | 'to' | 'transit';
}

export interface BridgeToUser extends CallVariables {
  context?: string;
  /** The user to ring. */
  username: string;
  domain: string;
  callerName: string;
  callerNumber: string;
  ringTimeoutSeconds: number;
  /** Ends the caller's leg with the other; left out: yes. */
  hangupAfterBridge?: boolean;
  /** Made by dialStringTo(); left out, the node asks the directory for it (a question more). */
  dialString?: string;
}

/**
 * Rings a user and connects. The leg it makes carries the call's id and `switchyard_leg=to` from its first event.
 * Where nobody answers, the caller's leg ends with the cause of the leg that failed.
 */
export function bridgeToUserPlan(o: BridgeToUser): string {
  const target = `user/${addressPart(o.username, 'The user name')}@${addressPart(o.domain, 'The domain')}`;
  return dialplanXml(o.context ?? USERS_CONTEXT, 'user', [
    ...callVariables(o, 'to'),
    ...bridgeActions({ ...o, endpoint: o.dialString ?? target }),
  ]);
}

/** The channel variable by which another node finds what it rings for an attempt whose own node died. */
export const ATTEMPT_VARIABLE = 'switchyard_attempt';

export interface InternodeDelivery {
  callId: string;
  /** The leg that carries the attempt, at the node that hands over. */
  attemptLegId?: string;
  context?: string;
  /** For the ones this node has registered: made by dialStringTo() with the contacts of this node only. */
  dialString: string;
  /** The role of the leg made here; the leg that came from the other node is `transit`. */
  deliveredLeg?: 'from' | 'to';
  ringTimeoutSeconds: number;
}

/**
 * Takes a call from another node to a phone registered here. Early media and the answer go through; the caller's
 * name and number stay as the first node sent them.
 */
export function internodeDeliveryPlan(o: InternodeDelivery): string {
  return dialplanXml(o.context ?? INTERNODE_CONTEXT, 'delivery', [
    ...callVariables({ callId: o.callId, legRole: 'transit' }, o.deliveredLeg ?? 'to'),
    ...attemptVariables(o.attemptLegId),
    ...bridgeActions({ endpoint: o.dialString, ringTimeoutSeconds: o.ringTimeoutSeconds }),
  ]);
}

/** Answers, and sends back what it hears and sees. */
export function echoPlan(o: Partial<CallVariables> & { context?: string } = {}): string {
  return dialplanXml(o.context ?? USERS_CONTEXT, 'echo', [
    ...(o.callId ? callVariables({ callId: o.callId, legRole: o.legRole }) : []),
    { app: 'answer' },
    { app: 'echo' },
  ]);
}

/** The hangup cause FreeSWITCH turns into each status. */
const CAUSES = {
  403: 'OUTGOING_CALL_BARRED',
  404: 'UNALLOCATED_NUMBER',
  410: 'NUMBER_CHANGED',
  480: 'SUBSCRIBER_ABSENT',
  484: 'INVALID_NUMBER_FORMAT',
  486: 'USER_BUSY',
  488: 'INCOMPATIBLE_DESTINATION',
  502: 'DESTINATION_OUT_OF_ORDER',
  503: 'NORMAL_TEMPORARY_FAILURE',
  603: 'CALL_REJECTED',
} as const;

export type RefusalStatus = keyof typeof CAUSES;

/** Refuses: the phone gets the SIP status, the CDR also the reason (`switchyard_refused`). */
export function refusePlan(
  o: { sipStatus: RefusalStatus; reason: string; context?: string } & Partial<CallVariables>,
): string {
  return dialplanXml(o.context ?? USERS_CONTEXT, 'refusal', [
    ...(o.callId ? callVariables({ callId: o.callId, legRole: o.legRole }) : []),
    { app: 'set', data: `switchyard_refused=${callerNameText(o.reason)}` },
    { app: 'hangup', data: CAUSES[o.sipStatus] },
  ]);
}

function callVariables(o: CallVariables, otherLeg?: 'from' | 'to'): Action[] {
  if (!isPlainValue(o.callId)) throw new SwitchyardError('invalid_request', 'The call id is not an id.');
  const own: Action[] = [
    { app: 'set', data: `switchyard_call_id=${o.callId}` },
    ...(o.legRole ? [{ app: 'set', data: `switchyard_leg=${o.legRole}` }] : []),
    { app: 'set', data: `accountcode=${o.callId}` },
  ];
  if (!otherLeg) return own;
  return [
    ...own,
    { app: 'export', data: `nolocal:switchyard_call_id=${o.callId}` },
    { app: 'export', data: `nolocal:switchyard_leg=${otherLeg}` },
    { app: 'export', data: `nolocal:accountcode=${o.callId}` },
  ];
}

function attemptVariables(legId: string | undefined): Action[] {
  if (legId === undefined || !isPlainValue(legId)) return [];
  return [set(ATTEMPT_VARIABLE, legId), { app: 'export', data: `nolocal:${ATTEMPT_VARIABLE}=${legId}` }];
}

/** The tone a caller hears who was rung first and waits for the other: 1 s of 425 Hz in every 5. */
const RINGBACK = '%(1000,4000,425)';

function bridgeActions(o: {
  endpoint: string;
  callerName?: string;
  callerNumber?: string;
  ringTimeoutSeconds: number;
  hangupAfterBridge?: boolean;
}): Action[] {
  const seconds = Math.max(1, Math.floor(o.ringTimeoutSeconds));
  return [
    ...(o.callerName === undefined ? [] : [set('effective_caller_id_name', callerNameText(o.callerName))]),
    ...(o.callerNumber === undefined ? [] : [set('effective_caller_id_number', escapeText(o.callerNumber))]),
    // Inside user/ FreeSWITCH counts call_timeout; with a dial string of ours originate_timeout.
    set('call_timeout', String(seconds)),
    set('originate_timeout', String(seconds)),
    set('hangup_after_bridge', String(o.hangupAfterBridge ?? true)),
    // Heard by a leg that is answered already; before that a phone's 180 goes through as it is.
    set('transfer_ringback', RINGBACK),
    // Else what one phone or node put into its headers, a token too, would go out with the other leg's INVITE.
    set('sip_copy_custom_headers', 'false'),
    // Else the other leg is offered only what this one speaks: opus from a browser to a phone that has none ended with
    // INCOMPATIBLE_DESTINATION (switch_core_media_prepare_codecs: originator_codec alone).
    { app: 'export', data: 'nolocal:media_mix_inbound_outbound_codecs=true' },
    { app: 'bridge', data: o.endpoint === '' ? NOT_REGISTERED : o.endpoint },
    // bridge hangs up by itself except after NO_ANSWER, NO_USER_RESPONSE and ORIGINATOR_CANCEL, where it goes on here.
    { app: 'hangup', data: '${originate_disposition}' },
  ];
}

function set(name: string, value: string): Action {
  return { app: 'set', data: `${name}=${value}` };
}
