/** Asks a node whether it has a phone still, where what it told leaves that open. */
import type { Logger } from '../../infra/logger';
import type { Db } from '../../infra/stores/db';
import type { ProfileRegistration } from '../../freeswitch/esl';
import { findSipName, type RegistrationRow } from './registrations.store';

/** A node takes a closed socket out of its own list a moment after it has told of it. */
const ASK_AFTER_MS = 1000;

/** Questions that wait for a node's list to be right. */
export interface Doubts {
  /** Runs it in a while; what was to be run for the same phone is not run then. */
  add(id: string, run: () => Promise<void>): void;
  /** Runs nothing more. A phone that is gone then ends with its time, or with the next call to it. */
  stop(): void;
}

export function createDoubts(logger: Logger, afterMs = ASK_AFTER_MS): Doubts {
  const timers = new Map<string, NodeJS.Timeout>();
  return {
    add(id, run) {
      clearTimeout(timers.get(id));
      const timer = setTimeout(() => {
        timers.delete(id);
        run().catch((error: unknown) => logger.debug({ err: error }, 'a phone that may be gone ends with its time'));
      }, afterMs);
      timers.set(id, timer);
    },
    stop() {
      for (const timer of timers.values()) clearTimeout(timer);
      timers.clear();
    },
  };
}

export interface AskingDeps {
  db: Db;
  logger: Logger;
  /** What the node's profile has of a SIP user. @throws where it does not say. */
  askProfile: (nodeId: string, username: string, domain: string) => Promise<ProfileRegistration[]>;
  doubts: Doubts;
}

/** Asks the node, whose own list has the sockets. @returns true also where it does not say: the phone's time ends it */
export async function isStillThere(
  deps: AskingDeps,
  node: { id: string; name: string },
  row: RegistrationRow,
): Promise<boolean> {
  const name = await findSipName(deps.db, row.id);
  if (!name) return false;
  try {
    const listed = await deps.askProfile(node.id, name.username, name.domain);
    return listed.some(
      (phone) =>
        phone.sipCallId === row.sip_call_id &&
        phone.networkIp === row.network_ip &&
        phone.networkPort === row.network_port,
    );
  } catch (error) {
    deps.logger.debug({ err: error, node: node.name }, 'a node does not say whether a phone is still there');
    return true;
  }
}

/**
 * Of registrations that a node does not list those that it has all the same. Its list has one for each Call-ID and each
 * contact (switch_core_sqldb.c, switch_core_add_registration): another phone's took them out, of whatever tenant, as two
 * behind one proxy do, or their own old socket's end.
 */
export async function findStillThere(
  deps: AskingDeps,
  node: { id: string; name: string },
  missing: readonly RegistrationRow[],
  known: readonly RegistrationRow[],
): Promise<Set<string>> {
  const [callIds, contacts] = [countOf(known, 'sip_call_id'), countOf(known, 'contact')];
  const isHidden = (row: RegistrationRow): boolean =>
    row.moved_at !== null || callIds.get(row.sip_call_id)! > 1 || contacts.get(row.contact)! > 1;
  const there = new Set<string>();
  for (const row of missing.filter(isHidden)) if (await isStillThere(deps, node, row)) there.add(row.id);
  return there;
}

function countOf(rows: readonly RegistrationRow[], column: 'sip_call_id' | 'contact'): Map<string, number> {
  const counts = new Map<string, number>();
  for (const row of rows) counts.set(row[column], (counts.get(row[column]) ?? 0) + 1);
  return counts;
}
