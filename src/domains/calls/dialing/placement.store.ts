/** The SQL of the way from a request to its node: three statements of one round trip each. Migration 044 has the functions. */
import type { Pool } from 'pg';
import type { Queryable } from '../../../infra/stores/db';
import type { LoggedEvent, EventDraft } from '../../events/events.store';
import type { Considered } from '../../nodes/selection/select-node';
import { shortenReport } from '../../nodes/selection/placement-report';
import type { CallRow, NewCall } from '../calls.store';

/** What is written with it, as read from its answer. */
interface Written {
  event_number: string;
  event_at: Date;
}

const logged = (draft: EventDraft, row: Written): LoggedEvent => ({
  stream: draft.stream,
  number: Number(row.event_number),
  type: draft.type,
  at: row.event_at.toISOString(),
  callId: draft.callId ?? null,
  userId: draft.userId ?? null,
  roomId: draft.roomId ?? null,
  nodeId: draft.nodeId ?? null,
  data: draft.data,
});

const QUEUE = { name: 'queue-call', text: 'select * from queue_call($1, $2, $3)' };

export type Queued =
  | { outcome: 'queued'; logged: LoggedEvent }
  | { outcome: 'full'; limit: number; used: number }
  | { outcome: 'no_domain' };

/**
 * Writes a call that waits, with its event, where its domain may have one more.
 * @param limit of its domain, where none was set for it
 */
export async function queueCall(pool: Pool, row: NewCall, limit: number, draft: EventDraft): Promise<Queued> {
  const values = [JSON.stringify(row), limit, JSON.stringify(draft.data)];
  const { rows } = await pool.query<Written & { outcome: Queued['outcome']; most: string; used: string }>({
    ...QUEUE,
    values,
  });
  const [answer] = rows;
  switch (answer!.outcome) {
    case 'queued':
      return { outcome: 'queued', logged: logged(draft, answer!) };
    case 'full':
      return { outcome: 'full', limit: Number(answer!.most), used: Number(answer!.used) };
    case 'no_domain':
      return { outcome: 'no_domain' };
  }
}

/** A call whose turn has come, with all that is needed to find a node for it. */
export type DialableRow = CallRow & {
  attempts: number;
  /** Nodes of those attempts. */
  tried: string[];
  /** Where the phones of who is rung first are registered. */
  phones_at: string[];
  /** Of its domain: how many ring or are being placed, and what is claimed. */
  ringing: string;
  held_units: string;
  /** The domain's own limits; null: as by default. */
  most_ringing: string | null;
  most_units: string | null;
};

const DIALABLE = {
  name: 'dialable-call',
  text: `select c.*, d.name as domain_name, null as node_name,
    (select count(*)::int from call_attempts a where a.call_id = c.id) as attempts,
    array(select a.node_id from call_attempts a where a.call_id = c.id and a.node_id is not null) as tried,
    array(select distinct r.node_id from users u join registrations r on r.user_id = u.id join nodes n on n.id = r.node_id
          where c.from_address like 'user:%' and u.domain_id = c.domain_id and u.username = substr(c.from_address, 6)
            and r.unreachable_at is null and r.expires_at > $2 and n.state not in ('down','pending')) as phones_at,
    (select count(*) from calls o where o.domain_id = c.domain_id and o.state in ('placing','ringing')) as ringing,
    (select coalesce(sum(held.units), 0) from (
       select o.units from calls o where o.domain_id = c.domain_id and o.state in ('placing','ringing','answered')
       union all
       select s.units from sessions s where s.domain_id = c.domain_id and s.state <> 'ended') held) as held_units,
    (select amount from quotas q where q.domain_id = c.domain_id and q.quota = 'ringingCalls') as most_ringing,
    (select amount from quotas q where q.domain_id = c.domain_id and q.quota = 'units') as most_units
   from calls c join domains d on d.id = c.domain_id where c.id = $1`,
};

export async function findDialable(pool: Pool, callId: string, now: Date): Promise<DialableRow | undefined> {
  const { rows } = await pool.query<DialableRow>({ ...DIALABLE, values: [callId, now] });
  return rows[0];
}

export interface DesiredPlacement {
  callId: string;
  nodeId: string;
  legId: string;
  attempt: number;
  at: Date;
  /** Modules that the node must have. */
  modules: readonly string[];
  /** Of the domain, where none was set for it. */
  limits: { ringingCalls: number; units: number };
  policy: string;
  considered: readonly Considered[];
}

export type PlacementAnswer =
  | { outcome: 'placed'; coreUuid: string | null; logged: LoggedEvent }
  /** Somebody else has taken it; `onNode`: it lives there. */
  | { outcome: 'taken'; onNode: string | null }
  | { outcome: 'unwanted' }
  | { outcome: 'not_serving' | 'unhealthy' | 'lacks_module' }
  | { outcome: 'ringing_full' | 'units_full'; limit: number; used: number };

const PLACE = {
  name: 'place-call',
  text: 'select * from place_call($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)',
};

interface PlacementRow extends Written {
  outcome: PlacementAnswer['outcome'];
  on_node: string | null;
  core_uuid: string | null;
  most: string;
  used: string;
}

/**
 * Writes the call's node, attempt, leg, the choice's reasons and the event, all before anything is dialled; and nothing
 * where the call waits no more, the node serves no more, or its domain has as much as it may.
 */
export async function writePlacement(
  pool: Pool,
  desired: DesiredPlacement,
  draft: EventDraft,
): Promise<PlacementAnswer> {
  const { kept, leftOut } = shortenReport(desired.considered, desired.nodeId);
  const { limits } = desired;
  const values = [
    ...[
      desired.callId,
      desired.nodeId,
      desired.legId,
      desired.attempt,
      desired.at,
      desired.modules,
      limits.ringingCalls,
      limits.units,
    ],
    ...[desired.policy, JSON.stringify(kept), leftOut, JSON.stringify(draft.data)],
  ];
  const { rows } = await pool.query<PlacementRow>({ ...PLACE, values });
  const row = rows[0]!;
  switch (row.outcome) {
    case 'placed':
      return { outcome: 'placed', coreUuid: row.core_uuid, logged: logged(draft, row) };
    case 'taken':
      return { outcome: 'taken', onNode: row.on_node };
    case 'ringing_full':
    case 'units_full':
      return { outcome: row.outcome, limit: Number(row.most), used: Number(row.used) };
    default:
      return { outcome: row.outcome };
  }
}

/** How many calls of the domain ring or are being placed, by the index of migration 017. */
export async function countRinging(db: Queryable, domainId: string): Promise<number> {
  const rows = (await db('calls')
    .where({ domain_id: domainId })
    .whereIn('state', ['placing', 'ringing'])
    .count('* as count')) as { count: string }[];
  return Number(rows[0]?.count ?? 0);
}
