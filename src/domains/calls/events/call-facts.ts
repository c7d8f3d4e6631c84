/** What can happen to a call: everything that moves one is one of these facts, and nothing else does. */
import type { ChannelEvent } from '../../../freeswitch/esl';
import type { HangupReason } from './outcome';

/** Who reports: its part of a node's row. */
export interface FactNode {
  id: string;
  name: string;
  core_uuid: string | null;
}

/** A node reports a change of one of its channels. */
export interface ChannelFact {
  kind: 'channel';
  node: FactNode;
  event: ChannelEvent;
}

/** The leg that carries an attempt is over, or the attempt itself: its node died, or refused it. */
export interface AttemptOverFact {
  kind: 'attempt_over';
  callId: string;
  legId: string;
  cause: string;
  at: Date;
  partnerCause?: string;
  /** The leg itself rang a phone, and failed by it. */
  failed?: 'phone';
}

/** A node does not have a leg that should be there, and nobody knows how it ended. */
export interface LegMissingFact {
  kind: 'leg_missing';
  callId: string;
  legId: string;
  at: Date;
}

/** The call may be over: its carrying leg has ended, and others of it may have been left. */
export interface TalkOverFact {
  kind: 'talk_over';
  callId: string;
}

/** A node reports that two of its channels hear each other. */
export interface BridgedFact {
  kind: 'bridged';
  node: FactNode;
  legId: string;
  otherLegId: string;
  atMs: number;
}

/** All phones of the caller ring, and this one has answered: it carries the attempt from here on. */
export interface PickedUpFact {
  kind: 'picked_up';
  callId: string;
  nodeId: string;
  legId: string;
}

/** Another leg carries the call from here on: the one that did has ended, and this one talks on. */
export interface CarriedOnFact {
  kind: 'carried_on';
  node: FactNode;
  callId: string;
  fromLegId: string;
  legId: string;
}

/** Somebody of the call is in a room: its other end is no leg. */
export interface EnteredFact {
  kind: 'entered';
  callId: string;
  at: Date;
}

/** Somebody, or a limit, asks for the end of the call. */
export interface HangupAskedFact {
  kind: 'hangup_asked';
  callId: string;
  at: Date;
  reason?: HangupReason;
  /** Only where nobody has asked since then. */
  notSince?: Date;
  /** Only where the call is answered. */
  whileAnswered?: boolean;
}

/** The call waited, and is placed no more. */
export interface NeverPlacedFact {
  kind: 'never_placed';
  callId: string;
  outcome: 'cancelled' | 'no_capacity';
  at: Date;
}

/** The call leads somewhere else from now on: its node may ask for the way there. */
export interface RedirectedFact {
  kind: 'redirected';
  callId: string;
  to: string;
  /** Who has dialled; left out where it was asked for by REST, of a call that is answered. */
  legId?: string;
}

/** A leg talks again, and no event has told. */
export interface UnheldFact {
  kind: 'unheld';
  callId: string;
  legId: string;
}

/** What a call detail record reports of one leg; times are milliseconds since 1970 by our clock, null: it did not come to that. */
export interface RecordFact {
  kind: 'record';
  node: FactNode;
  legId: string;
  /** The call that the record names. */
  callId: string | null;
  cause: string;
  partnerCause: string | undefined;
  /** It was in a room. */
  wasInRoom: boolean;
  ringingMs: number | null;
  answeredMs: number | null;
  bridgedMs: number | null;
  endedMs: number | null;
}

export type CallFact =
  | ChannelFact
  | AttemptOverFact
  | LegMissingFact
  | TalkOverFact
  | BridgedFact
  | PickedUpFact
  | CarriedOnFact
  | EnteredFact
  | HangupAskedFact
  | NeverPlacedFact
  | RedirectedFact
  | UnheldFact
  | RecordFact;

/** Which legs and calls must be known to reduce a fact. */
export function idsOf(fact: CallFact): { legIds: string[]; callId: string | null } {
  switch (fact.kind) {
    case 'channel': {
      const { legId, otherLegId, callId, phase } = fact.event;
      const legIds = phase === 'bridged' && otherLegId ? [legId, otherLegId] : [legId];
      return { legIds, callId: callId ?? null };
    }
    case 'bridged':
      return { legIds: [fact.legId, fact.otherLegId], callId: null };
    case 'leg_missing':
    case 'attempt_over':
    case 'carried_on':
    case 'unheld':
    case 'record':
      return { legIds: [fact.legId], callId: fact.callId };
    default:
      return { legIds: [], callId: fact.callId };
  }
}

/** Whether the fact may end an attempt: then it matters which phones of the caller there are. */
export function mayEndAttempt(fact: CallFact): boolean {
  switch (fact.kind) {
    case 'channel':
      return fact.event.phase === 'hangup' || fact.event.phase === 'destroyed';
    case 'attempt_over':
    case 'leg_missing':
    case 'talk_over':
    case 'record':
      return true;
    default:
      return false;
  }
}
