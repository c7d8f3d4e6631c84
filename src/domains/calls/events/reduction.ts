/** What a reduction collects while it goes through its facts: the draft of the rows, numbered events, and what is left to do. */
import { showLegId } from '../../../infra/ids';
import type { RefusedReport } from '../../../infra/metrics';
import type { EventDraft } from '../../events/events.store';
import { boundTime } from '../../nodes/trust/bounded-time';
import type { AttemptRow, CallRow } from '../calls.store';
import type { CallsDraft } from './call-draft';
import type { FactNode } from './call-facts';

/** A phone that the caller's name rings. */
export interface CallersPhone {
  nodeId: string;
  /** A call has found nobody there. */
  isDead: boolean;
}

/** What a reduction must know beside the rows; nothing in it is asked for while it goes on. */
export interface CallContext {
  /** By our clock. */
  nowMs: number;
  /** Registrations of those who call, by the call's id; none where it does not matter. */
  phones: ReadonlyMap<string, readonly CallersPhone[]>;
  /** `call node`: crossed the pool unwritten. */
  handedOver: ReadonlySet<string>;
}

/** What is to be done once the changes are written. */
export interface CallEffects {
  /** Capacity that nothing needs any more. */
  released: { nodeId: string; callId: string }[];
  /** Legs at nodes that nobody else will tell of their call's end. */
  kills: { nodeId: string; legId: string; callId: string; cause: string }[];
  /** Attempts of calls that were hung up before their node had a channel to end. */
  unwanted: AttemptRow[];
  /** What nodes said and was not believed. */
  refusals: { node: FactNode; about: RefusedReport; details: Record<string, unknown> }[];
  joined: { callId: string; joined: string; node: string }[];
}

/** Handed from function to function within one reduction. */
export interface Reduction extends CallEffects {
  draft: CallsDraft;
  context: CallContext;
  events: EventDraft[];
}

export type Emit = (draft: EventDraft) => void;

/** What every event of a call carries. A leg's id is a key, so the event has its hash. */
export function draftCallEvent(
  type: string,
  call: CallRow,
  { leg, ...data }: Record<string, unknown> & { leg?: string } = {},
): EventDraft {
  return {
    stream: call.domain_id,
    type,
    callId: call.id,
    nodeId: call.node_id,
    data: { from: call.from_address, to: call.to_address, ...data, ...(leg ? { leg: showLegId(leg) } : {}) },
  };
}

/** When something came about in the call, within the call's own time. */
export function timeInCall(r: Reduction, node: FactNode, call: CallRow, claimedMs: number): Date {
  const { at, isMoved } = boundTime(claimedMs, call.queued_at.getTime(), r.context.nowMs);
  if (isMoved) r.refusals.push({ node, about: 'time', details: { callId: call.id } });
  return at;
}
