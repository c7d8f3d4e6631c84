/** Puts registrations together: what they do with nodes' reports, what ends with its time, and what waits for a proof. */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseProfileRegistrations, showRegistrationsOf } from '../../freeswitch/esl';
import type { Domain } from '../domain';
import type { NodeConnections } from '../nodes/connections/node-connections';
import { createLateProofs } from './events/late-proofs';
import { reconcileRegistrations } from './reconcile-node';
import { dropRegistrations, expireRegistrations, type RegistrationDeps } from './registrations';
import { createDoubts } from './still-there';

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
  const deps: RegistrationDeps = {
    ...o,
    doubts,
    lateProofs,
    flush(nodeId, command) {
      // A phone that its node still lists is found, and let go again, by the next reconciliation.
      links
        .api(nodeId, command)
        .catch((error: unknown) => logger.debug({ err: error, nodeId }, 'a phone is let go later'));
    },
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
      doubts.stop();
      return lateProofs.stop();
    },
  };
}
