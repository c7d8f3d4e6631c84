/** Settles attempts whose leg is known to be over, and which nothing has settled: whoever learnt of the end died, or was too early. */
import type { Queryable } from '../../../infra/stores/db';
import { UNKNOWN_CAUSE } from '../events/call-end';
import { moveCalls } from '../events/move-calls';
import type { CallEndDeps } from '../events/move-calls';

/** The end of a leg and that of its attempt are written one after the other. */
const GRACE_MS = 5000;

interface Forgotten {
  leg_id: string;
  call_id: string;
  hangup_cause: string | null;
  ended_at: Date;
}

/** Other phones of the caller may still ring, and others of the call may talk on: see carrier.ts and joining/. */
const othersOf = (db: Queryable) =>
  db('legs as o')
    .whereRaw('o.call_id = a.call_id and o.node_id = a.node_id')
    .whereNot('o.state', 'ended')
    .where((w) => w.whereIn('o.role', ['from', 'transit']).orWhere('o.state', 'answered'));

async function listForgotten(db: Queryable, before: Date): Promise<Forgotten[]> {
  return (await db('calls as c')
    .join('call_attempts as a', 'a.call_id', 'c.id')
    .join('legs as l', 'l.id', 'a.leg_id')
    .whereNot('c.state', 'ended')
    .whereNull('a.ended_at')
    .where('l.state', 'ended')
    .where('l.ended_at', '<', before)
    .whereNotExists(othersOf(db))
    .select('a.leg_id', 'a.call_id', 'l.hangup_cause', 'l.ended_at')) as Forgotten[];
}

/** @returns how many there were */
export async function settleForgottenAttempts(deps: CallEndDeps, now: Date): Promise<number> {
  const forgotten = await listForgotten(deps.db, new Date(now.getTime() - GRACE_MS));
  const facts = forgotten.map(({ leg_id: legId, call_id: callId, hangup_cause: cause, ended_at: at }) => ({
    ...{ kind: 'attempt_over' as const, legId, callId },
    ...{ cause: cause ?? UNKNOWN_CAUSE, at },
  }));
  await moveCalls(deps, facts);
  if (forgotten.length > 0) deps.countOrphan?.('attempt', forgotten.length);
  if (forgotten.length > 0) deps.logger.warn({ count: forgotten.length }, 'attempts whose leg was over were settled');
  return forgotten.length;
}
