/** Judges what ends a registration: the phone says so, its time is over, its socket has closed, or a call finds nobody there. */
import type { UnregisteredEvent } from '../../freeswitch/esl';
import type { TellingNode } from './events/reduce-phones';
import { describe, draftOf, type RegistrationDeps } from './registrations';
import { isStillThere } from './still-there';
import { deleteRegistrations, type RegistrationRow } from './registrations.store';

/** The way there is the node's to write, and changes with the socket. */
const withoutPath = (contact: string): string => contact.replace(/;fs_(?:nat|path)=[^;>]*/g, '').toLowerCase();

/**
 * Whether it is the phone as it is known now whose end is told, or only a socket that it has left: a phone may come from
 * another one with the same Call-ID before the old one's end is told.
 * @returns `unsure` where nothing but the Call-ID is told of a phone that has changed its socket
 */
export function judgeEnd(
  row: Pick<RegistrationRow, 'sip_call_id' | 'contact' | 'network_ip' | 'network_port' | 'moved_at'>,
  event: Pick<UnregisteredEvent, 'sipCallId' | 'contact' | 'networkIp' | 'networkPort' | 'reason'>,
): 'gone' | 'stays' | 'unsure' {
  const isSameCall = event.sipCallId === row.sip_call_id;
  // `Contact: *` is all that the phone has told with this Call-ID, and the end of a socket names no contact.
  if (!event.contact.includes(':')) {
    if (!isSameCall) return 'stays';
    return row.moved_at !== null && event.contact === '' ? 'unsure' : 'gone';
  }
  if (withoutPath(event.contact) !== withoutPath(row.contact)) return 'stays';
  // A phone takes its contact back from whatever socket and with whatever Call-ID; the node goes by the contact.
  if (event.reason === 'unregister') return 'gone';
  const isSameSocket = event.networkPort === row.network_port && event.networkIp === row.network_ip;
  return isSameCall && isSameSocket ? 'gone' : 'stays';
}

async function endThem(deps: RegistrationDeps, node: TellingNode, ids: string[], reason: string): Promise<void> {
  if (ids.length === 0) return;
  await deps.log.record(async (trx, emit) => {
    for (const row of await deleteRegistrations(trx, { node_id: node.id, ids })) {
      const data = { node: node.name, reason, ...describe(row) };
      if (row.unreachable_at === null) emit(draftOf('registration.ended', row, data));
    }
  });
}

/** Where the node itself could not say at once. */
export async function endUnlessThere(
  deps: RegistrationDeps,
  node: TellingNode,
  row: RegistrationRow,
  reason: string,
): Promise<void> {
  if (!(await isStillThere(deps, node, row))) await endThem(deps, node, [row.id], reason);
}

/** What the node itself makes of a transport that refuses (ICMP, a closed socket), and of an INVITE that nobody answers. */
const NODES_OWN: readonly number[] = [503, 408];

/**
 * Whether a leg has found nobody where it rang. A phone that says 480, 500 or 503 is there; one that says 100 and rings
 * late, as a proxy in front of a sleeping phone does, is there too: the node waits for it until its caller gives up.
 */
export const foundNobody = (leg: { wasHeardFrom: boolean; inviteStatus: number | undefined }): boolean =>
  !leg.wasHeardFrom && NODES_OWN.includes(leg.inviteStatus ?? 0);
