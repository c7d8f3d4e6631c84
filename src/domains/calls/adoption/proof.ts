/**
 * What a leg shows of the call it was let in for. Rows may be lost (an older backup was restored) while people talk: then
 * nothing else tells whose call it is. A node can only show it for a call that it was given.
 */
import { z } from 'zod';
import { readToken, signToken } from '../../../infra/secrets';
import { readCallOfPlan, withProof } from '../../../freeswitch/xml';
import type { Queryable } from '../../../infra/stores/db';
import { isUnreachable } from '../../../infra/stores/db';
import { storeClock } from '../../../infra/store-clock';
import type { NodeRow } from '../../nodes/nodes.store';
import { findCall, type CallRow } from '../calls.store';

/** Longer than any call may be (MAX_CALL_HOURS). */
const PROOF_SECONDS = 8 * 86_400;

const claimsSchema = z.object({
  c: z.uuid(),
  d: z.uuid(),
  n: z.string(),
  f: z.string().max(255),
  t: z.string().max(255),
  o: z.enum(['api', 'phone']),
  q: z.number().int().positive(),
});

export interface CallProof {
  callId: string;
  domainId: string;
  from: string;
  to: string;
  origin: 'api' | 'phone';
  queuedAt: Date;
}

type ProvenCall = Pick<CallRow, 'id' | 'domain_id' | 'from_address' | 'to_address' | 'origin' | 'queued_at'>;

export function signProof(secretKey: Buffer, nodeName: string, call: ProvenCall, nowMs: number): string {
  return signToken(secretKey, 'adoption', {
    c: call.id,
    d: call.domain_id,
    n: nodeName,
    f: call.from_address,
    t: call.to_address,
    o: call.origin,
    q: call.queued_at.getTime(),
    exp: Math.floor(nowMs / 1000) + PROOF_SECONDS,
  });
}

/** @returns undefined where it is forged, too old, or was given to another node */
export function readProof(secretKey: Buffer, nodeName: string, token: string, nowMs: number): CallProof | undefined {
  const claims = claimsSchema.safeParse(readToken(secretKey, 'adoption', token, nowMs));
  if (!claims.success || claims.data.n !== nodeName || claims.data.q > nowMs) return undefined;
  const { c, d, f, t, o, q } = claims.data;
  return { callId: c, domainId: d, from: f, to: t, origin: o, queuedAt: new Date(q) };
}

/** The plan with a proof of its call in it. Without a row (the database is away) there is nothing to prove. */
export async function provePlan(
  deps: { db: Queryable; secretKey: Buffer },
  node: Pick<NodeRow, 'name'>,
  plan: string,
): Promise<string> {
  const callId = readCallOfPlan(plan);
  if (callId === undefined) return plan;
  try {
    const call = await findCall(deps.db, callId);
    return call ? withProof(plan, signProof(deps.secretKey, node.name, call, storeClock.nowMs())) : plan;
  } catch (error) {
    if (!isUnreachable(error)) throw error;
    return plan;
  }
}
