/** The one place that ends legs: whoever wants one gone says where it is and with which cause, and hears whether it was there. */
import type { Reply } from '../connection/replies';
import { killChannel, type ApiCommand } from './commands';

export interface HangupDeps {
  links: { api(nodeId: string, command: ApiCommand): Promise<Reply> };
}

export interface PlacedLeg {
  nodeId: string;
  legId: string;
}

/**
 * Ends legs one after the other, with a cause the other side is told. What a node can't be told ends it with the error.
 * @returns whether every leg was there; one that is not has ended by itself, or has yet to come
 */
export async function hangupLegs(deps: HangupDeps, legs: readonly PlacedLeg[], cause: string): Promise<boolean> {
  let allThere = true;
  for (const { nodeId, legId } of legs) {
    const reply = await deps.links.api(nodeId, killChannel(legId, cause));
    if (!reply.ok) allThere = false;
  }
  return allThere;
}
