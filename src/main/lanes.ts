/** Says who takes in which reports of nodes, and how many at once: calls, rooms, registrations, and all else. */
import { moveCalls } from '../domains/calls/events/move-calls';
import { endUnadmitted, isUnadmitted } from '../domains/calls/reconcile/unadmitted-channels';
import { createErrands } from '../domains/nodes/connections/errands';
import type { IntakeLane, NodeFact } from '../domains/nodes/connections/event-batches';
import { handleRegistrationEvents, type PhoneEvent } from '../domains/registrations/events/registration-events';
import type { RegistrationDeps } from '../domains/registrations/registrations';
import type { ChannelEvent, NodeEvent, RoomEvent } from '../freeswitch/esl';
import type { Container } from './container';

/** A transaction of so many takes some 20 ms; one of a few some 5. The next is read while one is written. */
const GATHERED = { most: 500, batches: 2, gatherMs: 5 };
/** Of all nodes together, so that a thousand of them do not wait for twenty database connections until all time out. */
const OTHERS_AT_ONCE = 48;

type ChannelReport = NodeFact<ChannelEvent>;
const isOfPhone = (fact: NodeFact): fact is NodeFact & PhoneEvent =>
  fact.event.type === 'registered' || fact.event.type === 'unregistered';
const isOfRoom = (fact: NodeFact): fact is NodeFact<RoomEvent> => fact.event.type === 'room';
/** Of what a room tells, what recordings and relays want to know. */
const OF_FILES: readonly string[] = ['start-recording', 'stop-recording'];
const isChannel = (fact: NodeFact): fact is ChannelReport => fact.event.type === 'channel';

/** Channels, rooms and phones are taken in many at once; all others one by one, those of different nodes beside each other. */
export function laneOf({ type }: NodeEvent): string {
  if (type === 'channel') return 'channels';
  if (type === 'room') return 'rooms';
  return type === 'registered' || type === 'unregistered' ? 'phones' : 'others';
}

export function createLanes(container: Container, registrations: RegistrationDeps): IntakeLane[] {
  const { metrics, settle, rooms, roomControl, relays, recordings } = container;
  const errands = createErrands(container.logger);

  async function takeChannels(facts: readonly ChannelReport[]): Promise<void> {
    const admitted = facts.filter(({ event }) => !isUnadmitted(event));
    await moveCalls(
      settle,
      admitted.map(({ node, event }) => ({ kind: 'channel', node, event })),
    );
    await rooms.handleMemberFacts(admitted);
    await handleRegistrationEvents(
      registrations,
      admitted.filter(({ event }) => event.phase === 'hangup' && event.registrationId !== undefined),
    );
    const holds = admitted.filter(({ event }) => event.phase === 'held' || event.phase === 'unheld');
    for (const { node, event } of holds) await recordings.handlers.onEvent(node, event);
    for (const { node, event } of facts) {
      if (isUnadmitted(event)) errands.add(node.id, () => endUnadmitted(settle, node, event)); // else the sweep ends it
    }
  }

  async function takeRooms(facts: readonly NodeFact<RoomEvent>[]): Promise<void> {
    await roomControl.handleRoomEvents(facts);
    for (const { node, event } of facts) {
      if (!OF_FILES.includes(event.action)) continue;
      await relays.handlers?.onEvent?.(node, event);
      await recordings.handlers.onEvent(node, event);
    }
  }

  const lanes: IntakeLane[] = [
    {
      ...{ name: 'channels', ...GATHERED },
      take: (facts) => takeChannels(facts.filter(isChannel)),
    },
    {
      ...{ name: 'phones', ...GATHERED, batches: 1 },
      take: (facts) => handleRegistrationEvents(registrations, facts.filter(isOfPhone)),
    },
    {
      ...{ name: 'rooms', ...GATHERED },
      take: (facts) => takeRooms(facts.filter(isOfRoom)),
    },
    {
      ...{ name: 'others', most: 1, batches: OTHERS_AT_ONCE, gatherMs: 0 },
      async take(facts) {
        for (const { node, event } of facts) await recordings.handlers.onEvent(node, event);
      },
    },
  ];
  return lanes.map((lane) => ({
    ...lane,
    async take(facts) {
      for (const { event } of facts) metrics.countNodeEvent(event.type);
      await lane.take(facts);
    },
  }));
}
