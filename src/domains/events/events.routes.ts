/** GET /v1/events: the numbered log, as a stream, as a WebSocket, or page by page. */
import { z } from 'zod';
import type { WebSocket } from 'ws';
import { SwitchyardError } from '../../errors';
import type { Db } from '../../infra/stores/db';
import type { Logger } from '../../infra/logger';
import type { StreamPlace, StreamPlaces } from '../quotas/streams';
import { defineRoute, type Caller, type Route } from '../../infra/route';
import { readEventHead, readEvents } from './events.store';
import { withGaps, type EventBroadcaster } from './broadcaster';
import { openSocket, openSse } from './transports';
import {
  eventSchema,
  eventsQuery,
  openSubscription,
  presentEvent,
  type EventsQuery,
  type Subscription,
} from './subscription';
import { deliverEvents, type DeliveryDeps } from './delivery';

export interface EventsDeps {
  db: Db;
  broadcaster: EventBroadcaster;
  logger: Logger;
  /** Is the key of this Authorization header still good? (The app's authenticate.) */
  authenticate: (bearer: string) => Promise<Caller | undefined>;
  /** Hears of revoked keys (createKeyRing().onRevoked). */
  onKeyRevoked: (listener: (apiKeyId: string) => void) => () => void;
  heartbeatMs?: number;
  stalledMs?: number;
  /** Says who may open one more. */
  streams: Pick<StreamPlaces, 'take'>;
}

export interface EventsEndpoints {
  routes: Route[];
  /** Takes a WebSocket that came for /v1/events with a key that was found good. */
  acceptSocket(socket: WebSocket, subscription: Subscription, caller: Caller, bearer: string): Promise<void>;
  /** Checks a WebSocket's request before it is accepted. @returns also its place, to be given back; @throws SwitchyardError */
  checkSocket(
    caller: Caller,
    query: Record<string, string>,
    lastEventId?: string,
  ): Promise<{ subscription: Subscription; place: StreamPlace }>;
}

const page = z.object({
  items: z.array(eventSchema),
  gap: z
    .object({ from: z.number().int(), to: z.number().int() })
    .nullable()
    .describe('Numbers of events that were trimmed, before or among these.'),
  nextSince: z.number().int().describe('`since` of the next page; unchanged if there is nothing new.'),
});

export function createEventsEndpoints(deps: EventsDeps): EventsEndpoints {
  function run(caller: Caller, bearer: string, act: (stream: DeliveryDeps) => Promise<void>): Promise<void> {
    const id = caller.apiKeyId;
    return act({
      broadcaster: deps.broadcaster,
      logger: deps.logger,
      stillValid: async () => (await deps.authenticate(bearer)) !== undefined,
      onRevoked: (listener) => deps.onKeyRevoked((revoked) => revoked === id && listener()),
      heartbeatMs: deps.heartbeatMs ?? 15_000,
      stalledMs: deps.stalledMs ?? 30_000,
    });
  }

  const route = defineRoute({
    method: 'get',
    path: '/v1/events',
    tag: 'Events',
    summary: 'Read events',
    description: [
      'Server-Sent Events: `id` is the number, `event` the type, `data` the event as JSON. A connection that upgrades to',
      'a WebSocket gets the same as JSON messages. Reconnect with `since` (or `Last-Event-ID`): you get each event once,',
      'in order. If events were trimmed, an event `gap` `{from, to}` reports it. A comment is sent every 15 seconds.',
      "`format=json` reads one page. A grant's token reads the events of its own room or user since it was made; in a",
      'browser it can be sent in the query as `access_token`.',
    ].join(' '),
    scope: 'grant',
    query: eventsQuery,
    answers: { 200: page },
    errors: ['not_found', 'quota_exceeded'],
    handle: async ({ query, caller, bearer, request, response }) => {
      const subscription = await openSubscription(deps.db, caller, query, request.get('last-event-id'));
      if (query.format === 'json' || request.method === 'HEAD')
        return { body: await readPage(deps.db, subscription, query, caller.grant ? MAX_SCANS_OF_GRANT : MAX_SCANS) };
      const place = await deps.streams.take(caller);
      try {
        await run(caller, bearer, (stream) =>
          deliverEvents(stream, subscription, openSse(response, subscription.after)),
        );
      } finally {
        place.giveBack();
      }
      return undefined;
    },
  });

  return {
    routes: [route],
    async checkSocket(caller, query, lastEventId) {
      const result = eventsQuery.strict().safeParse(query);
      if (!result.success) {
        const errors = result.error.issues.map((i) => ({ path: i.path.join('.'), message: i.message }));
        throw new SwitchyardError('invalid_request', 'The query parameters are not valid.', { errors });
      }
      const subscription = await openSubscription(deps.db, caller, result.data, lastEventId);
      return { subscription, place: await deps.streams.take(caller) };
    },
    acceptSocket: (socket, subscription, caller, bearer) =>
      run(caller, bearer, (stream) => deliverEvents(stream, subscription, openSocket(socket))),
  };
}

const MAX_SCANS = 10;
/** A guest reads the log of the whole domain to find what is theirs: it goes on in the next page. */
const MAX_SCANS_OF_GRANT = 2;

/** Looks through a bounded part of the log: a page may hold less than `limit`, and still be followed by another. */
async function readPage(
  db: Db,
  subscription: Subscription,
  query: EventsQuery,
  mostScans: number,
): Promise<z.output<typeof page>> {
  const items: z.output<typeof eventSchema>[] = [];
  let gap = null as { from: number; to: number } | null;
  let at = subscription.after;
  for (let scan = 0; scan < mostScans && items.length < query.limit; scan += 1) {
    const { last } = await readEventHead(db, subscription.stream);
    const events = await readEvents(db, subscription.stream, at, query.limit);
    for (const item of withGaps(events, at, events.length < query.limit ? last : at)) {
      if (item.kind === 'gap') {
        gap = { from: gap?.from ?? item.from, to: item.to };
        at = item.to;
      } else {
        at = item.event.number;
        if (subscription.wanted(item.event)) items.push(presentEvent(item.event));
      }
      if (items.length === query.limit) break;
    }
    if (at >= last) break;
  }
  return { items, gap, nextSince: at };
}
