/** The SQL of nodes. State changes are conditional: they name the state they expect. */
import { familyOf, hostAndPort } from '../../address';
import type { Queryable, Trx } from '../../infra/stores/db';
import { storeClock } from '../../infra/store-clock';
import type { ConnectionFault } from './connections/connection-fault';
import type { ClockRow } from './clock/judge';
import type { CanaryResult, ProbeState } from './health/health';

/** `pending`: it waits for an admin's yes, and is not answered. */
export const NODE_STATES = ['pending', 'joining', 'serving', 'draining', 'down'] as const;
export type NodeState = (typeof NODE_STATES)[number];

export interface NodeRow {
  id: string;
  name: string;
  secret_hash: string;
  esl_password_sealed: string;
  /** The process that was given that password. */
  esl_core_uuid: string | null;
  /** The process that asked last, of those questions that say so. */
  asking_core_uuid: string | null;
  /** From where that process's Event Socket lets in; null: by a list's name, as versions before 0.4 had it. */
  esl_networks: string | null;
  host: string;
  esl_port: number;
  sip_port: number;
  internode_port: number;
  ws_port: number;
  ws_url: string | null;
  zone: string;
  capacity_units: string;
  /** What its reports let it carry; null: as it says of itself. */
  effective_units: string | null;
  state: NodeState;
  drain_deadline_at: Date | null;
  /** It asked for the drain that is on; false: an operator did. */
  drained_itself: boolean;
  /** Its phones stay while it drains: an operator wants it so. */
  keeps_phones: boolean;
  /** It turns phones away: so it was told when it last read its SIP profiles. */
  phones_refused: boolean;
  /** It takes them until then, since one of them is being rung; null: it never did. */
  door_open_until: Date | null;
  core_uuid: string | null;
  version: string | null;
  session_count: number;
  max_sessions: number;
  idle_cpu_percent: string;
  reported_at: Date | null;
  down_since: Date | null;
  down_reason: string | null;
  /** Why there is no connection to it; null: there is one, or none was tried. */
  connection_fault: ConnectionFault | null;
  /** Why it gets no new calls although it reports; null: it is well. */
  unhealthy_reason: string | null;
  /** Since when it is well, or not; null: it was never otherwise. */
  health_since: Date | null;
  probe: Partial<ProbeState>;
  canary: CanaryResult | null;
  /** Modules that were asked for and are not there; null: not asked yet. */
  missing_modules: string[] | null;
  /** Null before it was measured. */
  clock: ClockRow | null;
  created_at: Date;
  updated_at: Date;
}

/** Where a browser signals to a node. */
export const signalUrl = (node: Pick<NodeRow, 'ws_url' | 'host' | 'ws_port'>): string =>
  node.ws_url ?? `ws://${hostAndPort(node.host, node.ws_port)}`;

export async function listNodeRows(db: Queryable): Promise<NodeRow[]> {
  return (await db('nodes').orderBy('name')) as NodeRow[];
}

/** What a choice among all nodes needs of them, and no more: it is read several times a second. */
export type PoolRow = Pick<
  NodeRow,
  | 'id'
  | 'name'
  | 'state'
  | 'zone'
  | 'capacity_units'
  | 'effective_units'
  | 'session_count'
  | 'max_sessions'
  | 'idle_cpu_percent'
  | 'reported_at'
  | 'unhealthy_reason'
  | 'missing_modules'
>;

const POOL_COLUMNS = [
  'id',
  'name',
  'state',
  'zone',
  'capacity_units',
  'effective_units',
  'session_count',
  'max_sessions',
  'idle_cpu_percent',
  'reported_at',
  'unhealthy_reason',
  'missing_modules',
] as const;

export async function listPoolRows(db: Queryable): Promise<PoolRow[]> {
  return (await db('nodes').select(POOL_COLUMNS).orderBy('name')) as PoolRow[];
}

export async function listDownNodes(db: Queryable): Promise<Pick<NodeRow, 'id' | 'down_since' | 'down_reason'>[]> {
  return (await db('nodes').where({ state: 'down' }).select('id', 'down_since', 'down_reason')) as NodeRow[];
}

export async function findNode(db: Queryable, id: string): Promise<NodeRow | undefined> {
  return (await db('nodes').where({ id }).first()) as NodeRow | undefined;
}

export async function findNodeByName(db: Queryable, name: string): Promise<NodeRow | undefined> {
  return (await db('nodes').where({ name }).first()) as NodeRow | undefined;
}

/** @returns the name of another node that is up and has one of these ports at that host */
export async function findNodeAtPorts(
  db: Queryable,
  o: { notName: string; host: string; ports: readonly number[] },
): Promise<string | undefined> {
  const row = (await db('nodes')
    .where({ host: o.host })
    .whereNot({ name: o.notName })
    .whereIn('state', ['serving', 'draining'])
    .where((one) =>
      one.whereIn('esl_port', o.ports).orWhereIn('sip_port', o.ports).orWhereIn('internode_port', o.ports),
    )
    .first('name')) as { name: string } | undefined;
  return row?.name;
}

/** @returns the place of another node of the pool that has no address of this family */
export async function findNodeOfOtherFamily(
  db: Queryable,
  o: { notName: string; host: string },
): Promise<Pick<NodeRow, 'name' | 'host'> | undefined> {
  const isSix = familyOf(o.host) === 'ipv6';
  return (await db('nodes')
    .whereNot({ name: o.notName })
    .whereIn('state', ['joining', 'serving', 'draining'])
    .whereRaw("(host like '%:%') is distinct from ?", [isSix])
    .first('name', 'host')) as Pick<NodeRow, 'name' | 'host'> | undefined;
}

/** Holds the node of that name until the transaction ends. */
export async function lockNodeByName(trx: Trx, name: string): Promise<NodeRow | undefined> {
  return (await trx('nodes').where({ name }).forUpdate().first()) as NodeRow | undefined;
}

/** Which process of the node asks now. */
export async function noteAskingCore(db: Queryable, id: string, coreUuid: string): Promise<void> {
  await db('nodes')
    .where({ id })
    .whereRaw('asking_core_uuid is distinct from ?', [coreUuid])
    .update({ asking_core_uuid: coreUuid });
}

/**
 * Gives the process that asks a password of its own.
 * @returns false where it has its password already, or where it is not known which one asks
 */
export async function takeEslPassword(db: Queryable, id: string, sealed: string): Promise<boolean> {
  const count = await db('nodes')
    .where({ id })
    .whereRaw('asking_core_uuid is not null and esl_core_uuid is distinct from asking_core_uuid')
    .update({ esl_core_uuid: db.ref('asking_core_uuid'), esl_password_sealed: sealed, updated_at: storeClock.now() });
  return count > 0;
}

/** @param fault null: it is connected to */
export async function saveConnectionFault(db: Queryable, id: string, fault: ConnectionFault | null): Promise<void> {
  await db('nodes')
    .where({ id })
    .update({ connection_fault: fault && JSON.stringify(fault) });
}

/** From where the Event Socket that opens now lets in. */
export async function noteEslNetworks(db: Queryable, id: string, networks: string): Promise<void> {
  await db('nodes')
    .where({ id })
    .whereRaw('esl_networks is distinct from ?', [networks])
    .update({ esl_networks: networks });
}

/** Under which process it is up. The password that let us in is that one's, where nothing else is known of it. */
export async function noteCore(db: Queryable, id: string, coreUuid: string): Promise<void> {
  await db('nodes')
    .where({ id })
    .whereIn('state', ['joining', 'serving', 'draining', 'down'])
    .update({
      core_uuid: coreUuid,
      esl_core_uuid: db.raw('coalesce(esl_core_uuid, ?)', [coreUuid]),
      updated_at: storeClock.now(),
    });
}

/** @returns undefined where a node of that name is there already. */
export async function insertNode(db: Queryable, row: Partial<NodeRow>): Promise<NodeRow | undefined> {
  const rows = (await db('nodes').insert(row).onConflict('name').ignore().returning('*')) as NodeRow[];
  return rows[0];
}

/** @param where what else must hold @returns the row as it is now, or undefined where it was in none of the expected states. */
export async function updateNode(
  db: Queryable,
  id: string,
  expected: readonly NodeState[],
  change: Partial<NodeRow>,
  where: Partial<NodeRow> = {},
): Promise<NodeRow | undefined> {
  const rows = (await db('nodes')
    .where({ ...where, id })
    .whereIn('state', expected)
    .update({ ...change, updated_at: storeClock.now() })
    .returning('*')) as NodeRow[];
  return rows[0];
}

/** The addresses of all nodes that are in, each once, in a fixed order. */
export async function listHosts(db: Queryable): Promise<string[]> {
  return (await db('nodes').whereNot('state', 'pending').distinct().orderBy('host').pluck('host')) as string[];
}

/** What a HEARTBEAT says. */
export interface NodeReport {
  id: string;
  at: Date;
  sessionCount: number;
  maxSessions: number;
  idleCpuPercent: number;
  version: string | null;
}

/** Takes in HEARTBEATs, one for each node; an older one than the last is left out. */
export async function saveReports(db: Queryable, reports: readonly NodeReport[]): Promise<void> {
  await db.raw(
    `update nodes n set reported_at = r.at, session_count = r."sessionCount", max_sessions = r."maxSessions",
            idle_cpu_percent = r."idleCpuPercent", version = coalesce(r.version, n.version)
     from jsonb_to_recordset(?::jsonb) as r(id uuid, at timestamptz, "sessionCount" int, "maxSessions" int,
                                            "idleCpuPercent" numeric, version text)
     where n.id = r.id and (n.reported_at is null or n.reported_at <= r.at)`,
    [JSON.stringify(reports)],
  );
}

/** Removes a node without live calls, legs, rooms, and recordings still to be sent; @returns false where one is left. */
export async function deleteIdleNode(db: Queryable, id: string): Promise<boolean> {
  const count = await db('nodes')
    .where({ id })
    .whereIn('state', ['draining', 'down', 'joining', 'pending'])
    .whereNotExists((q) => q.select('id').from('calls').where('node_id', id).whereNot('state', 'ended'))
    // A call of another node may end at a phone here.
    .whereNotExists((q) => q.select('id').from('legs').where('node_id', id).whereNot('state', 'ended'))
    .whereNotExists((q) => q.select('id').from('sessions').where('node_id', id).whereNot('state', 'ended'))
    // A file is brought from the node it is on: without the node nobody would look for it. One that is dead has none here.
    .whereNotExists((q) =>
      q
        .select('id')
        .from('recording_parts')
        .where('node_id', id)
        .whereIn('state', ['starting', 'recording', 'stopping', 'uploading']),
    )
    .delete();
  return count > 0;
}

export async function countLiveCalls(db: Queryable): Promise<Map<string, number>> {
  const rows = (await db('calls')
    .whereNot('state', 'ended')
    .whereNotNull('node_id')
    .groupBy('node_id')
    .select('node_id')
    .count('id as count')) as { node_id: string; count: string }[];
  return new Map(rows.map((r) => [r.node_id, Number(r.count)]));
}

/** What the node's reports let it carry, in units. */
export async function saveEffectiveUnits(db: Queryable, id: string, units: number): Promise<void> {
  await db('nodes').where({ id }).update({ effective_units: units });
}

/** Holds the node until the transaction ends. */
export async function lockNode(trx: Trx, id: string): Promise<NodeRow | undefined> {
  return (await trx('nodes').where({ id }).forUpdate().first()) as NodeRow | undefined;
}

/** @param change.since left out: as it is */
export async function saveHealth(
  db: Queryable,
  id: string,
  change: { probe: Partial<ProbeState>; canary: CanaryResult | null; reason: string | null; since?: Date },
): Promise<void> {
  await db('nodes')
    .where({ id })
    .update({
      probe: JSON.stringify(change.probe),
      canary: change.canary === null ? null : JSON.stringify(change.canary),
      unhealthy_reason: change.reason,
      ...(change.since ? { health_since: change.since } : {}),
    });
}

/** It answers: what it is known to be stays. */
export async function noteReported(db: Queryable, id: string, at: Date): Promise<void> {
  await db('nodes').where({ id }).update({ reported_at: at });
}
