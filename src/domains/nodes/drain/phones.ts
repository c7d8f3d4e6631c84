/** A node that drains gives its phones up: pages are asked to move at once, telephones are told 503 at their next request. */
import { rescanProfile, type ApiCommand } from '../../../freeswitch/esl';
import type { Db } from '../../../infra/stores/db';
import type { Logger } from '../../../infra/logger';
import type { EventLog } from '../../events/events';
import { listNodeRows, type NodeRow } from '../nodes.store';
import { forgetAskedToMove, listPhonesToMove, listRoomNodeIds, notePhonesRefused } from './phones.store';

export interface MovePhonesDeps {
  db: Db;
  log: EventLog;
  logger: Logger;
  /** Tells a node something; nobody waits for it. */
  send: (nodeId: string, command: ApiCommand) => void;
  /** A report older than this says nothing about now. */
  reportLimitMs: number;
}

/** The profile of phones and browsers. */
const PHONES_PROFILE = 'internal';
/** Of one node in one look: each is an event. */
const AT_ONCE = 500;

type NodeState = Pick<
  NodeRow,
  'id' | 'state' | 'drain_deadline_at' | 'keeps_phones' | 'door_open_until' | 'reported_at' | 'unhealthy_reason'
>;

/** While a node drains its phones register for so long only: none keeps it for an hour that could be elsewhere. */
export const DRAINING_EXPIRES_SECONDS = 60;

/** @returns undefined where phones register for as long as they like */
export const expiresSecondsAt = (node: Pick<NodeRow, 'drain_deadline_at' | 'keeps_phones'>): number | undefined =>
  node.drain_deadline_at === null || node.keeps_phones ? undefined : DRAINING_EXPIRES_SECONDS;

/**
 * Whether a node has to turn phones away. Only while another one takes them: refused here and nowhere taken, a patient
 * would reach no doctor. And not while a room is on it: its guests come in by the same door. At the deadline rooms move.
 * @param roomNodeIds nodes with living rooms
 */
export function refusesPhones(
  node: NodeState,
  o: { pool: readonly NodeState[]; roomNodeIds: ReadonlySet<string>; nowMs: number; reportLimitMs: number },
): boolean {
  if (node.drain_deadline_at === null || node.keeps_phones || o.roomNodeIds.has(node.id)) return false;
  if (node.door_open_until !== null && o.nowMs < node.door_open_until.getTime()) return false;
  return o.pool.some(
    (other) =>
      other.id !== node.id &&
      other.state === 'serving' &&
      other.unhealthy_reason === null &&
      other.reported_at !== null &&
      o.nowMs - other.reported_at.getTime() <= o.reportLimitMs,
  );
}

/**
 * Brings every node to what it should do with phones, and asks those that are registered at a draining one to move.
 * A node is told to read its profiles again until it has: what it was answered then is in its row.
 */
export async function movePhones(deps: MovePhonesDeps, pool: readonly NodeRow[], now: Date): Promise<void> {
  const isConcerned = (node: NodeRow): boolean => node.drain_deadline_at !== null || node.phones_refused;
  if (!pool.some(isConcerned)) return;
  const roomNodeIds = await listRoomNodeIds(deps.db);
  const nowMs = now.getTime();
  const { reportLimitMs } = deps;
  for (const node of pool.filter(isConcerned)) {
    const wanted = refusesPhones(node, { pool, roomNodeIds, nowMs, reportLimitMs });
    const isUp = node.state === 'serving' || node.state === 'draining';
    if (isUp && node.phones_refused !== wanted) deps.send(node.id, rescanProfile(PHONES_PROFILE));
    if (node.drain_deadline_at === null) await forgetAskedToMove(deps.db, node.id);
    // Pages go at once, also from a node whose rooms keep its door open.
    else if (refusesPhones(node, { pool, roomNodeIds: NO_ROOMS, nowMs, reportLimitMs }))
      await askToMove(deps, node, now);
  }
}

/** What a node is to be told when it reads its SIP profiles, written down as told. */
export async function tellRefusesPhones(db: Db, node: NodeRow, nowMs: number, reportLimitMs: number): Promise<boolean> {
  const pool = await listNodeRows(db);
  const self = pool.find((row) => row.id === node.id) ?? node;
  const refused = refusesPhones(self, { pool, roomNodeIds: await listRoomNodeIds(db), nowMs, reportLimitMs });
  await notePhonesRefused(db, node.id, refused);
  return refused;
}

const NO_ROOMS: ReadonlySet<string> = new Set();

/** Once each: `registration.move_requested` reaches the page by its grant's token, and whoever follows the domain. */
async function askToMove(deps: MovePhonesDeps, node: NodeRow, now: Date): Promise<void> {
  const asked = await deps.log.record(async (trx, emit) => {
    const rows = await listPhonesToMove(trx, node.id, now, AT_ONCE);
    for (const row of rows) {
      emit({
        stream: row.domain_id,
        type: 'registration.move_requested',
        userId: row.user_id,
        nodeId: node.id,
        data: {
          ...(row.grant_id ? { grantId: row.grant_id } : {}),
          node: node.name,
          reason: 'drain',
          contact: row.contact,
          transport: row.transport,
          userAgent: row.user_agent,
          deadlineAt: node.drain_deadline_at?.toISOString() ?? null,
        },
      });
    }
    return rows.length;
  });
  if (asked > 0) deps.logger.info({ node: node.name, phones: asked }, 'phones of a draining node are asked to move');
}
