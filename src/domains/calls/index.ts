/** Puts calls together: their REST, what they do with nodes' reports, and what is found and ended again and again. */
import { storeClock } from '../../infra/store-clock';
import type { Domain } from '../domain';
import type { Claims } from '../nodes/capacity/claims';
import type { RoomEndings } from '../rooms/participants/leave-reasons.store';
import { callRoutes } from './calls.routes';
import { createClaimsSweep } from './reconcile/claims-sweep';
import { settleForgottenAttempts } from './reconcile/forgotten-attempts';
import { endLongHolds } from './reconcile/hold-limit';
import { endOverlongCalls } from './reconcile/max-duration';
import type { ReconcileDeps } from './reconcile/node-look';
import { reconcileChannels, settleCallsOfNode } from './reconcile/reconcile-node';
import { createCallSweep } from './reconcile/sweep';

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;

export interface CallsOptions {
  routes: Parameters<typeof callRoutes>[0];
  reconcile: ReconcileDeps;
  queue: Parameters<typeof createCallSweep>[0]['queue'];
  /** Those of the pool, which tell nobody of what they give back. */
  claims: Claims;
  noteLeaveReason: RoomEndings['noteLeaveReason'];
  maxCallHours: number;
  holdLimitMinutes: number;
}

export function createCalls(o: CallsOptions): Domain {
  const { reconcile } = o;
  const calls = createCallSweep({ ...reconcile, queue: o.queue });
  const claims = createClaimsSweep({ ...reconcile, claims: o.claims });
  const holds = { ...reconcile, noteLeaveReason: o.noteLeaveReason };
  return {
    routes: callRoutes(o.routes),
    handlers: {
      onRestarted: (node, coreUuid) => settleCallsOfNode(reconcile, node.id, 'NODE_DIED', coreUuid),
      onSnapshot: (node, connection) =>
        reconcileChannels(reconcile, node, connection, storeClock.now()).then(() => undefined),
      async onDown(node, reason) {
        if (reason === 'refused') await settleCallsOfNode(reconcile, node.id, 'NODE_DIED'); // else the sweep gives it time
      },
    },
    sweeps: [
      { name: 'forgotten attempts', run: (now) => settleForgottenAttempts(reconcile, now) },
      { name: 'calls', run: (now) => calls.step(now) },
      { name: 'overlong calls', run: (now) => endOverlongCalls(reconcile, now, o.maxCallHours * HOUR_MS) },
      { name: 'long holds', run: (now) => endLongHolds(holds, now, o.holdLimitMinutes * MINUTE_MS) },
      // While Redis is away there are none.
      { name: 'claims', run: (now) => claims.run(now).catch(() => undefined) },
    ],
  };
}
