/**
 * Opens the door of a draining node for the moment in which a phone there is rung: a SIP profile that turns phones away
 * (`profile-standby`) makes no call out either (sofia_outgoing_channel), and the phone has no other way to be reached.
 */
import type { Db } from '../../../infra/stores/db';
import { rescanProfile, type ApiCommand } from '../../../freeswitch/esl';
import { findNode, type NodeRow } from '../nodes.store';
import { markDoorOpen } from './phones.store';

/** Long enough for a call to be on its way; phones that register in it stay a minute longer. */
export const OPEN_MS = 2000;
/** Afterwards it stays shut for so long, whoever is called: else a busy node would never give its phones up. */
export const SHUT_MS = 3000;
/** A node asks for its profiles while it is told of them; it does as it was told a moment later. */
const SETTLE_MS = 200;
const LOOK_MS = 50;
const PATIENCE_MS = 4000;

export interface PhoneDoorDeps {
  db: Db;
  /** Settles when the node has read its profiles again. */
  send: (nodeId: string, command: ApiCommand) => Promise<unknown>;
  /** Milliseconds since 1970. */
  now: () => number;
  sleep: (ms: number) => Promise<unknown>;
}

export type DoorStep = 'go' | 'open' | { waitMs: number };

/** What to do for a call that is about to leave the node by this door. Pure. */
export function decideDoor(node: Pick<NodeRow, 'phones_refused' | 'door_open_until'>, nowMs: number): DoorStep {
  const untilMs = node.door_open_until?.getTime();
  if (!node.phones_refused) {
    if (untilMs === undefined || nowMs >= untilMs + SHUT_MS) return 'go';
    const isSettled = nowMs >= untilMs - OPEN_MS + SETTLE_MS;
    return isSettled && nowMs < untilMs - SETTLE_MS ? 'go' : { waitMs: LOOK_MS };
  }
  if (untilMs !== undefined && nowMs < untilMs + SHUT_MS)
    return { waitMs: nowMs < untilMs ? LOOK_MS : untilMs + SHUT_MS - nowMs };
  return 'open';
}

/** @returns what a call waits for before it leaves the node; where it can't be opened, the call goes on and may fail */
export function createPhoneDoor(deps: PhoneDoorDeps): (nodeId: string) => Promise<void> {
  return async (nodeId) => {
    const deadlineMs = deps.now() + PATIENCE_MS;
    while (deps.now() < deadlineMs) {
      const node = await findNode(deps.db, nodeId);
      if (!node) return;
      const step = decideDoor(node, deps.now());
      if (step === 'go') return;
      if (step !== 'open') await deps.sleep(Math.min(step.waitMs, Math.max(0, deadlineMs - deps.now())));
      else if (await markDoorOpen(deps.db, nodeId, new Date(deps.now()), { openMs: OPEN_MS, shutMs: SHUT_MS })) {
        await deps.send(nodeId, rescanProfile('internal')).catch(() => undefined); // then the call fails, as it would have
        return;
      }
    }
  };
}
