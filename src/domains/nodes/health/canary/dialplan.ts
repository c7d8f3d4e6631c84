/** Answers a node that asks about a synthetic call: only where Switchyard started it on that node just now. */
import {
  CANARY_STEPS,
  canaryPlan,
  canaryRoom,
  refusePlan,
  type DialplanRequest,
  type RoomConfiguration,
} from '../../../../freeswitch/xml';
import type { Logger } from '../../../../infra/logger';
import { storeClock } from '../../../../infra/store-clock';
import { readCanaryToken } from './token';
import type { NodeRow } from '../../nodes.store';
import { CANARY_CONTEXT } from '../../../../freeswitch/contexts';

export interface CanaryDialplanDeps {
  logger: Logger;
  secretKey: Buffer;
}

/** The destination is `<step>.<name>`. */
export function answerCanary(
  deps: CanaryDialplanDeps,
  node: Pick<NodeRow, 'id' | 'name'>,
  request: Pick<DialplanRequest, 'destination' | 'networkIp'>,
): string {
  const at = request.destination.indexOf('.');
  const step = CANARY_STEPS.find((s) => s === request.destination.slice(0, at));
  const name = request.destination.slice(at + 1);
  const found = readCanaryToken(deps.secretKey, node.id, name, storeClock.nowMs());
  if (!step || !found) {
    deps.logger.warn({ node: node.name, from: request.networkIp }, 'a channel asked for a canary that is none');
    return refusePlan({ context: CANARY_CONTEXT, sipStatus: 403, reason: 'No canary' });
  }
  return canaryPlan({ step, name, toneHz: found.toneHz });
}

export function answerCanaryRoom(
  deps: Pick<CanaryDialplanDeps, 'secretKey'>,
  node: Pick<NodeRow, 'id'>,
  name: string,
): RoomConfiguration | 'refused' {
  return readCanaryToken(deps.secretKey, node.id, name, storeClock.nowMs()) ? canaryRoom() : 'refused';
}
