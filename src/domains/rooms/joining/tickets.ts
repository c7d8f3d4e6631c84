/** The way back into a room for a channel that we transfer: what it dials is good for that channel, once, and for a minute. */
import { randomBytes } from 'node:crypto';
import { transferChannel, type ApiCommand } from '../../../freeswitch/esl';
import type { Queryable } from '../../../infra/stores/db';
import { isId } from '../../../infra/ids';
import { hashSecret } from '../../../infra/secrets';
import { storeClock } from '../../../infra/store-clock';
import { insertTicket, redeemTicketRow } from './tickets.store';
import { ROOMS_CONTEXT } from '../../../freeswitch/contexts';

/** From the command to the node's question: a machine that is busy takes seconds. */
const GOOD_FOR_MS = 60_000;
/** A node asks twice where it was given no answer (freeswitch/autoload_configs/xml_curl.conf.xml): two times 5 s, and some. */
const ASKED_AGAIN_MS = 15_000;

/** Hexadecimal, so that it means nothing to a dial string; nobody can guess 128 bits. */
const DESTINATION = /^ticket-[0-9a-f]{32}$/;

export interface TicketFor {
  participantId: string;
  roomId: string;
  /** The channel that is sent, and the node that has it. */
  legId: string;
  nodeId: string;
}

/** Writes a ticket down. @returns the command that sends the channel into the room with it */
export async function sendIntoRoom(db: Queryable, o: TicketFor): Promise<ApiCommand> {
  const extension = `ticket-${randomBytes(16).toString('hex')}`;
  await insertTicket(db, {
    hash: hashSecret(extension),
    participant_id: o.participantId,
    room_id: o.roomId,
    leg_id: o.legId,
    node_id: o.nodeId,
    expires_at: new Date(storeClock.nowMs() + GOOD_FOR_MS),
  });
  return transferChannel(o.legId, { extension, context: ROOMS_CONTEXT });
}

export interface TakenTicket {
  participantId: string;
  roomId: string;
  /** The node asks once more: the answer was lost on its way. */
  isAgain: boolean;
}

/** @returns undefined where it is none, is over, was used, or is another channel's */
export async function redeemTicket(
  db: Queryable,
  asked: { destination: string; legId: string; nodeId: string },
  nowMs: number,
): Promise<TakenTicket | undefined> {
  const { destination, legId, nodeId } = asked;
  if (!DESTINATION.test(destination) || !isId(legId)) return undefined;
  const row = await redeemTicketRow(db, {
    hash: hashSecret(destination),
    legId,
    nodeId,
    now: new Date(nowMs),
    usedAfter: new Date(nowMs - ASKED_AGAIN_MS),
  });
  return row && { participantId: row.participant_id, roomId: row.room_id, isAgain: row.was_used };
}
