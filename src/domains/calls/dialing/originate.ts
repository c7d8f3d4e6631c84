/**
 * Has nodes dial, and waits for what they make of it: beside the workers, since a phone may ring for minutes. What
 * happens in the meantime is told by the node's events; here is heard only whether originate came to nothing.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { EslError, type Reply } from '../../../freeswitch/esl';
import type { NodeConnections } from '../../nodes/connections/node-connections';
import { findLastAttempt, noteAttemptCore, type AttemptRow, type CallRow } from '../calls.store';
import { moveCall, type CallEndDeps } from '../events/move-calls';
import { dialCommand } from './dial-command';
import { storeClock } from '../../../infra/store-clock';

export interface OriginateDeps extends CallEndDeps {
  links: Pick<NodeConnections, 'api' | 'reach' | 'coreOf'>;
  commandTimeoutMs: number;
}

export interface Originates {
  /**
   * Sends the attempt to its node. Comes back once the node has taken it, or has refused it, and at the latest after a
   * second: a node that says nothing must not hold whoever waits here.
   */
  dial(call: CallRow, attempt: AttemptRow): Promise<void>;
  /** How many are waited for. */
  count(): number;
  /** Nobody is waited for any more; what rings goes on, and is followed by its events. */
  stop(): void;
}

/** The event stream's connection may be up a moment before the one that commands. */
const REACH_MS = 1500;
/** No worker waits longer for a node. */
const ACCEPT_MS = 1000;
/** An ended leg's event may be this much behind the answer to originate. */
const ANSWER_MARGIN_MS = 10_000;
/** What originate said is written down, or left to the sweep after so many tries. */
const TRIES = 5;
const AGAIN_MS = 500;
/** Past this an answer is waited for as long as any command's, and the sweep finds what came to nothing later. */
const MOST = 20_000;

export function createOriginates(deps: OriginateDeps): Originates {
  const stopping = new AbortController();
  let waiting = 0;

  /** @returns what the node made of it; undefined where the attempt was over before it was sent */
  async function originate(call: CallRow, placed: AttemptRow, onAccepted: () => void): Promise<Reply | undefined> {
    const connection = await deps.links.reach(placed.node_id!, REACH_MS);
    const core = deps.links.coreOf(connection);
    // The node was started again since it was chosen: what is known of the process before must not end this attempt.
    if (
      core !== undefined &&
      core !== placed.node_core_uuid &&
      !(await noteAttemptCore(deps.db, placed.leg_id, core))
    ) {
      return undefined;
    }
    return connection.bgapi(dialCommand(call, placed), {
      jobId: placed.leg_id,
      timeoutMs: waiting > MOST ? deps.commandTimeoutMs : call.ring_timeout_seconds * 1000 + ANSWER_MARGIN_MS,
      acceptTimeoutMs: deps.commandTimeoutMs,
      onAccepted,
    });
  }

  /** Ends the attempt where another phone of the caller carries it by now, as well: originate speaks for all of them. */
  async function settle(call: CallRow, placed: AttemptRow, cause: string): Promise<void> {
    for (let tries = 1; !stopping.signal.aborted; tries += 1) {
      try {
        const attempt = await findLastAttempt(deps.db, call.id);
        if (attempt?.number !== placed.number || attempt.ended_at) return;
        const over = { callId: call.id, legId: attempt.leg_id, cause, at: storeClock.now() };
        await moveCall(deps, { kind: 'attempt_over', ...over });
        return;
      } catch (error) {
        deps.logger.debug({ err: error, callId: call.id }, 'what a node said of a call could not be written down');
        if (tries >= TRIES) return;
        await sleep(AGAIN_MS, undefined, { signal: stopping.signal }).catch(() => undefined);
      }
    }
  }

  async function follow(call: CallRow, placed: AttemptRow, onAccepted: () => void): Promise<void> {
    try {
      const reply = await originate(call, placed, onAccepted);
      if (reply && !reply.ok) await settle(call, placed, reply.cause);
    } catch (error) {
      // Sent, and not answered: the phone may ring. The node's events and the sweep know more.
      if (error instanceof EslError && error.sent) return;
      deps.logger.warn({ err: error, callId: call.id, node: placed.node_name }, 'a call could not be sent to its node');
      await settle(call, placed, 'NODE_REFUSED');
    }
  }

  return {
    async dial(call, attempt) {
      waiting += 1;
      const enough = new AbortController();
      const taken = new Promise<void>((accept) => {
        void follow(call, attempt, accept)
          .finally(() => (waiting -= 1))
          .then(accept);
      });
      const late = sleep(ACCEPT_MS, undefined, { signal: enough.signal }).catch(() => undefined);
      await Promise.race([taken, late]);
      enough.abort();
    },
    count: () => waiting,
    stop: () => stopping.abort(),
  };
}
