/** Takes in a node's call detail records: they settle times and causes, also of what no event has told. Each counts once. */
import { z } from 'zod';
import { findJsonFaults } from '../../../infra/text/json-faults';
import { storeClock } from '../../../infra/store-clock';
import type { NodeRow } from '../../nodes/nodes.store';
import { readTime, type NodeClock } from '../../nodes/clock/node-clock';
import { findNodeClock } from '../../nodes/clock/node-clocks.store';
import { findAttemptOfLeg, findCall, findLeg, hasCdr, insertCdr, type LegRow } from '../calls.store';
import type { RecordFact } from '../events/call-facts';
import { moveCalls } from '../events/move-calls';
import { withoutSecrets } from './record-secrets';
import type { CallEndDeps } from '../events/move-calls';
import { refuseLegReport } from '../trust/reporting-node';

/** Up to the year 2096: a Date holds no more than it can. */
const microseconds = z.coerce.number().min(0).max(4e15).catch(0);

/** What we read of mod_json_cdr's record; the whole of it is kept. */
const recordSchema = z.object({
  /** Which process of the node wrote it. */
  'core-uuid': z.string().max(64).optional().catch(undefined),
  variables: z.object({
    uuid: z.uuid(),
    switchyard_call_id: z.uuid().optional().catch(undefined),
    /** What the other end of its bridge ended with. */
    last_bridge_hangup_cause: z.string().max(64).optional().catch(undefined),
    /** Set once the leg was in a room: one that was refused at its door was answered, but not connected. */
    conference_uuid: z.string().min(1).optional().catch(undefined),
    hangup_cause: z
      .string()
      .regex(/^[A-Z0-9_]{1,64}$/)
      .catch('UNKNOWN'),
    progress_uepoch: microseconds,
    answer_uepoch: microseconds,
    bridge_uepoch: microseconds,
    end_uepoch: microseconds,
  }),
});

type ReadRecord = z.output<typeof recordSchema>;

/** Postgres keeps neither NUL nor half a surrogate pair in jsonb, and a caller's name may hold both. */
function writeRecord(record: unknown): string {
  const text = JSON.stringify(record);
  return text.replace(/\\\\|\\u(?:0000|d[89a-f][0-9a-f]{2})/g, (found) => (found === '\\\\' ? found : '\\ufffd'));
}

/** No channel's record is; what is would end whoever writes it down, here or in the database. */
const isTooDeep = (record: unknown): boolean => findJsonFaults(record).some(({ what }) => what === 'too_deep');

/**
 * A record is believed of the node, and the process, that had the leg. One of no call that we know changes nothing, and
 * only so many of them are kept.
 * @param record the parsed JSON of one leg
 * @returns `kept`, `known` (it came before), `refused` (the leg is another node's, or it is of no
 *   call and there were too many of those), or `malformed` where it is no record
 *   of a leg
 */
export async function handleCdr(
  deps: CallEndDeps,
  node: NodeRow,
  record: unknown,
): Promise<'kept' | 'known' | 'refused' | 'malformed'> {
  const parsed = isTooDeep(record) ? undefined : recordSchema.safeParse(record);
  if (!parsed?.success) return 'malformed';
  const v = parsed.data.variables;
  const leg = await findLeg(deps.db, v.uuid);
  const callId = leg?.call_id ?? v.switchyard_call_id ?? null;
  const call = callId ? await findCall(deps.db, callId) : undefined;
  if (!(await isBelieved(deps, node, leg, callId, parsed.data))) {
    deps.refuseReport?.(node, 'record', { leg: v.uuid, callId });
    return 'refused';
  }
  if (await hasCdr(deps.db, v.uuid)) return 'known';
  const text = writeRecord(withoutSecrets(record));
  if (!call && !(deps.strayRecords?.take(node.id, Buffer.byteLength(text)) ?? false)) {
    deps.refuseReport?.(node, 'record', { leg: v.uuid, callId });
    return 'refused';
  }
  const row = { leg_id: v.uuid, node_id: node.id, call_id: callId, record: text };
  if (!call) return (await insertCdr(deps.db, row)) ? 'kept' : 'known';
  // In one transaction: where the database goes away in the meantime, the node sends it again and nothing is missed.
  let isNew = true;
  const fact = readFact(node, parsed.data, callId, await findNodeClock(deps.db, node.id));
  await moveCalls(deps, [fact], async (trx) => {
    isNew = await insertCdr(trx, row);
  });
  return isNew ? 'kept' : 'known';
}

async function isBelieved(
  deps: CallEndDeps,
  node: NodeRow,
  leg: LegRow | undefined,
  callId: string | null,
  record: ReadRecord,
): Promise<boolean> {
  if (!callId) return true; // of no call: it changes nothing, and is bounded by itself
  const legId = record.variables.uuid;
  if (await refuseLegReport(deps, node, { legId, callId, known: leg })) return false;
  // A machine made again under this name knows nothing of the calls of the one before, whose core nobody else was told.
  const core = (await findAttemptOfLeg(deps.db, legId))?.node_core_uuid;
  const told = record['core-uuid'];
  return !core || !told || core === told;
}

/** What it tells, with the node's times by our clock. */
function readFact(node: NodeRow, record: ReadRecord, callId: string | null, clock: NodeClock | null): RecordFact {
  const v = record.variables;
  const nowMs = storeClock.nowMs();
  const ours = (us: number): number | null => (us > 0 ? readTime(clock, Math.round(us / 1000), nowMs) : null);
  return {
    ...{ kind: 'record', node, legId: v.uuid, callId, cause: v.hangup_cause },
    partnerCause: v.last_bridge_hangup_cause,
    wasInRoom: v.conference_uuid !== undefined,
    ringingMs: ours(v.progress_uepoch),
    answeredMs: ours(v.answer_uepoch),
    bridgedMs: ours(v.bridge_uepoch),
    endedMs: ours(v.end_uepoch),
  };
}
