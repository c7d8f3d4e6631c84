/** Tells a phone's failure from a node's, where the hangup cause is the same: by who was rung, and through whom. */
import { ANSWERED_CAUSES } from '../events/outcome';

export interface Rung {
  cause: string;
  /** The caller rings already, or has dialled by itself: its node did what it was asked for. */
  isUnderWay: boolean;
  /** The node that dialled. */
  nodeId: string | null;
  /** Where the phones that were to be rung are registered. */
  phonesAt: readonly string[];
  /** Nodes with a leg of the call: one that took the call over has written its own (trust/handover.ts). */
  legsAt: readonly string[];
}

/**
 * What only a SIP answer makes is a phone's word where each phone was rung by the node that it is registered at. The word
 * of another node, which did not take the call over, is a node's.
 */
export function judgeFailure(rung: Rung): 'node' | 'phone' {
  if (!ANSWERED_CAUSES.has(rung.cause)) return 'node';
  if (rung.isUnderWay) return 'phone';
  const wasRung = (nodeId: string): boolean => nodeId === rung.nodeId || rung.legsAt.includes(nodeId);
  return rung.phonesAt.length > 0 && rung.phonesAt.every(wasRung) ? 'phone' : 'node';
}
