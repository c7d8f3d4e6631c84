/** Puts the numbered log's readers together: REST, streams and sockets, and how old events are trimmed. */
import type { Domain } from '../domain';
import { createEventsEndpoints, type EventsDeps, type EventsEndpoints } from './events.routes';
import { startEventRetention } from './retention';

const HOUR_MS = 3_600_000;
const EVENTS_KEPT_MS = 30 * 24 * HOUR_MS;

export function createEvents(deps: EventsDeps): Domain & EventsEndpoints {
  const retention = startEventRetention({ ...deps, keepMs: EVENTS_KEPT_MS, everyMs: HOUR_MS });
  return { ...createEventsEndpoints(deps), stop: () => retention.stop() };
}
