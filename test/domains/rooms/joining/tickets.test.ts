/** A ticket into a room is good for one channel of one node, once. */
import { randomUUID } from 'node:crypto';
import { createId } from '../../../../src/infra/ids';
import { sendIntoRoom, redeemTicket, type TicketFor } from '../../../../src/domains/rooms/joining/tickets';
import { deleteExpiredTickets } from '../../../../src/domains/rooms/joining/tickets.store';
import { useStores } from '../../../stores';

const stores = useStores();
let who: TicketFor;

beforeAll(async () => {
  const { db } = stores;
  const [domainId, roomId, sessionId, participantId, nodeId] = Array.from({ length: 5 }, () => createId());
  await db('domains').insert({ id: domainId, name: 'tickets.test' });
  const ports = { esl_port: 1, sip_port: 2, internode_port: 3, ws_port: 4 };
  const node = {
    name: 'one',
    secret_hash: '',
    esl_password_sealed: 'x',
    host: '192.0.2.1',
    state: 'serving',
    ...ports,
  };
  await db('nodes').insert({ id: nodeId, ...node });
  await db('rooms').insert({ id: roomId, domain_id: domainId, name: 'daily', settings: '{}' });
  const session = { room_id: roomId, domain_id: domainId, node_id: nodeId, epoch: '1', state: 'live', units: '1' };
  await db('sessions').insert({
    id: sessionId,
    meeting_id: sessionId,
    settings: '{}',
    opened_at: new Date(),
    ...session,
  });
  const person = { identity: 'user:ann', kind: 'user', name: 'Ann', role: 'participant', state: 'in' };
  const where = { room_id: roomId, session_id: sessionId, meeting_id: sessionId, domain_id: domainId };
  await db('participants').insert({ id: participantId, ...where, ...person });
  who = { participantId: participantId!, roomId: roomId!, legId: randomUUID(), nodeId: nodeId! };
});

/** @returns what the node dials with it */
const issue = async (): Promise<string> => {
  const { line } = await sendIntoRoom(stores.db, who);
  const found = /^uuid_transfer (\S+) (ticket-[0-9a-f]{32}) XML rooms$/.exec(line);
  expect(found?.[1]).toBe(who.legId);
  return found![2]!;
};
const take = (destination: string, change: Partial<TicketFor> = {}, nowMs = Date.now()) =>
  redeemTicket(stores.db, { destination, legId: who.legId, nodeId: who.nodeId, ...change }, nowMs);

test('it is taken by its channel, which may ask again while its answer may be on the way, and no longer', async () => {
  const ticket = await issue();
  const { participantId, roomId } = who;
  expect(await take(ticket)).toEqual({ participantId, roomId, isAgain: false });
  expect(await take(ticket)).toEqual({ participantId, roomId, isAgain: true });
  expect(await take(ticket, {}, Date.now() + 16_000)).toBeUndefined();
});

test('another channel, another node, and the ids of participant and room open nothing', async () => {
  const ticket = await issue();
  expect(await take(ticket, { legId: randomUUID() })).toBeUndefined();
  expect(await take(ticket, { legId: "x' or 1=1" })).toBeUndefined();
  expect(await take(ticket, { nodeId: randomUUID() })).toBeUndefined();
  for (const text of [who.participantId, `${who.participantId}.${who.roomId}`, `${ticket}0`, 'ticket-', ''])
    expect(await take(text)).toBeUndefined();
  expect(await take(ticket)).toMatchObject({ isAgain: false });
});

test('of many that come with it at once one is first', async () => {
  const ticket = await issue();
  const taken = await Promise.all(Array.from({ length: 8 }, () => take(ticket)));
  expect(taken.filter((each) => each?.isAgain === false)).toHaveLength(1);
});

test('it is over after a minute, is nowhere to be read, and goes', async () => {
  const ticket = await issue();
  expect(await take(ticket, {}, Date.now() + 61_000)).toBeUndefined();
  expect(JSON.stringify(await stores.db('room_tickets'))).not.toContain(ticket);
  expect(await deleteExpiredTickets(stores.db, new Date(Date.now() + 61_000))).toBeGreaterThan(0);
  expect(await stores.db('room_tickets')).toEqual([]);
});
