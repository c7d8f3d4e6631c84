/** What a reader of events asks for: which stream, from where, and which of its events. */
import { z } from 'zod';
import { SwitchyardError } from '../../errors';
import type { Db } from '../../infra/stores/db';
import type { Caller, CallerGrant } from '../../infra/route';
import { domainReference, requireDomain } from '../domains/domains';
import { POOL_STREAM, readEventHead, type LoggedEvent } from './events.store';
import type { Followed } from './broadcaster';

const number = z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER);

export const eventsQuery = z.object({
  domain: domainReference
    .optional()
    .describe("A domain's name or id. Without it an admin key reads the pool's events."),
  since: number.optional().describe('The number of the last event you have. Without it you get only new events.'),
  types: z
    .string()
    .regex(/^(\*|[a-z_]+(\.[a-z_]+)*(\.\*)?)(,(\*|[a-z_]+(\.[a-z_]+)*(\.\*)?))*$/, 'must be like call.*,user.created')
    .max(500)
    .optional()
    .describe('Only events of these types: names or prefixes, as in `call.*,registration.created`.'),
  callId: z.uuid().optional().describe('Only events of this call.'),
  userId: z.uuid().optional().describe('Only events of this user.'),
  roomId: z.uuid().optional().describe('Only events of this room.'),
  format: z.enum(['stream', 'json']).default('stream').describe('`json` reads one page instead of a stream.'),
  limit: z.coerce.number().int().min(1).max(1000).default(200).describe('Events on a page, with `format=json`.'),
});
export type EventsQuery = z.output<typeof eventsQuery>;

export const eventSchema = z
  .object({
    number: z.number().int(),
    type: z.string(),
    at: z.iso.datetime(),
    callId: z.string().nullable(),
    userId: z.string().nullable(),
    roomId: z.string().nullable(),
    nodeId: z.string().nullable(),
    data: z.record(z.string(), z.unknown()),
  })
  .meta({ id: 'Event' });

/** An event as readers get it. */
export function presentEvent(event: LoggedEvent): z.output<typeof eventSchema> {
  const { stream: _stream, ...shown } = event;
  return shown;
}

export interface Subscription {
  stream: string;
  after: number;
  wanted: (event: LoggedEvent) => boolean;
}

/**
 * @param lastEventId the header Last-Event-ID, which browsers send when they come back: it is newer than `since`
 * @throws SwitchyardError not_found, invalid_request
 */
export async function openSubscription(
  db: Db,
  caller: Caller,
  query: EventsQuery,
  lastEventId?: string,
): Promise<Subscription> {
  const pool = query.domain === undefined && caller.domainId === null;
  const stream = pool ? POOL_STREAM : (await requireDomain(db, caller, query.domain)).id;
  const { last } = await readEventHead(db, stream);
  const back = lastEventId === undefined || lastEventId === '' ? undefined : number.safeParse(lastEventId);
  if (back && !back.success) throw new SwitchyardError('invalid_request', 'Last-Event-ID must be a number.');
  const after = back?.data ?? query.since ?? (query.format === 'json' ? 0 : last);
  if (after > last) {
    throw new SwitchyardError('invalid_request', `"since" is ${after}, but the last event is ${last}.`);
  }
  const wanted = eventFilter(query);
  const { grant } = caller;
  if (!grant) return { stream, after, wanted };
  return {
    stream,
    after: Math.max(after, Math.min(grant.afterNumber, last)),
    wanted: (event) => isOfGrant(event, grant) && wanted(event),
  };
}

/** What who is in a room may know of it; not where it is relayed to, nor how it is provisioned. */
const IN_A_ROOM = /^(?:participant|session|floor|hand|recording)\.|^room\.changed$/;

/** True for what the token of a grant may read: its own room or user, and its own end. */
function isOfGrant(event: LoggedEvent, grant: CallerGrant): boolean {
  if (event.type.startsWith('grant.')) return event.data.grantId === grant.id;
  if (grant.roomId !== null) return event.roomId === grant.roomId && IN_A_ROOM.test(event.type);
  return grant.userId !== null && event.userId === grant.userId;
}

/** @returns what says whether an event is asked for */
function eventFilter(
  query: Pick<EventsQuery, 'types' | 'callId' | 'userId' | 'roomId'>,
): (event: LoggedEvent) => boolean {
  const types = query.types?.split(',').map((type) => ({ name: type.replace(/\*$/, ''), begins: type.endsWith('*') }));
  const { callId, userId, roomId } = query;
  return (event) =>
    (!types || types.some((t) => (t.begins ? event.type.startsWith(t.name) : event.type === t.name))) &&
    (callId === undefined || event.callId === callId.toLowerCase()) &&
    (userId === undefined || event.userId === userId.toLowerCase()) &&
    (roomId === undefined || event.roomId === roomId.toLowerCase());
}

/** Gaps are always told: what was asked for may have been in them. */
export function isWanted(item: Followed, subscription: Subscription): boolean {
  return item.kind === 'gap' || subscription.wanted(item.event);
}
