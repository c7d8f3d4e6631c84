/** Puts registrations together: what they do with nodes' reports, what ends with its time, and what waits for a proof. */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseProfileRegistrations, showRegistrationsOf, type ApiCommand } from '../../freeswitch/esl';
import { backoffMs } from '../../infra/flow/backoff';
import type { Domain } from '../domain';
import type { NodeConnections } from '../nodes/connections/node-connections';
import { createLateProofs } from './events/late-proofs';
import { reconcileRegistrations } from './reconcile-node';
import { dropRegistrations, expireRegistrations, type RegistrationDeps } from './registrations';
import { createDoubts } from './still-there';

const FLUSH_TRIES = 8;
const FLUSH_PAUSE = { firstMs: 100, longestMs: 5000 };

export interface RegistrationsOptions extends Pick<
  RegistrationDeps,
  'db' | 'log' | 'logger' | 'quotas' | 'shownLogins' | 'refuseReport'
> {
  links: Pick<NodeConnections, 'api'>;
  commandTimeoutMs: number;
}

export interface Registrations extends Domain {
  /** For those who take phones' events in batches. */
  deps: RegistrationDeps;
}

export function createRegistrations(o: RegistrationsOptions): Registrations {
  const { links, logger } = o;
  const doubts = createDoubts(logger);
  const lateProofs = createLateProofs({ logger, sleep });
  let stopped = false;
  /**
   * A replica's own connection may come up after the one by which it was told: a node that has just been started again is
   * asked until it is there. A phone that is listed still is found by the next reconciliation.
   */
  async function flush(nodeId: string, command: ApiCommand): Promise<void> {
    for (let tries = 1; tries <= FLUSH_TRIES && !stopped; tries += 1) {
      try {
        await links.api(nodeId, command);
        return;
      } catch (error) {
        logger.debug({ err: error, nodeId, tries }, 'a phone is let go later');
        await sleep(backoffMs(tries, FLUSH_PAUSE), undefined, { ref: false });
      }
    }
  }
  const deps: RegistrationDeps = {
    ...o,
    doubts,
    lateProofs,
    flush: (nodeId, command) => void flush(nodeId, command),
    async askProfile(nodeId, username, domain) {
      const reply = await links.api(nodeId, showRegistrationsOf('internal', username, domain));
      return parseProfileRegistrations(reply.text);
    },
  };
  return {
    deps,
    handlers: {
      onSnapshot: (node, connection) => reconcileRegistrations(deps, node, connection, o.commandTimeoutMs),
      async onDown(node, reason) {
        if (reason === 'refused') await dropRegistrations(deps, node); // else it may only be cut off
      },
    },
    sweeps: [{ name: 'registrations', run: (now) => expireRegistrations(deps, now) }],
    stop() {
      stopped = true;
      doubts.stop();
      return lateProofs.stop();
    },
  };
}
