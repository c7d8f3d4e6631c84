/** What every event of a relay carries; never its stream key. */
import type { EventDraft } from '../events/events.store';
import type { RelayState } from './state-machine';
import type { RelayRow } from './relays.store';

export function draftRelayEvent(
  relay: RelayRow,
  state: RelayState | 'created',
  data: Record<string, unknown> = {},
): EventDraft {
  return {
    stream: relay.domain_id,
    type: `relay.${state}`,
    roomId: relay.room_id,
    nodeId: relay.node_id,
    data: {
      relayId: relay.id,
      name: relay.name,
      url: relay.url,
      sessionId: relay.session_id,
      restarts: relay.restarts,
      ...data,
    },
  };
}
