/** Reports of all nodes share a few lanes: no node holds a lane by answering late, and each is asked for few things at once. */
import { createLanes, laneOf } from '../../src/main/lanes';
import type { Container } from '../../src/main/container';
import { createEventBatches } from '../../src/domains/nodes/connections/event-batches';
import type { NodeRow } from '../../src/domains/nodes/nodes.store';
import type { RegistrationDeps } from '../../src/domains/registrations/registrations';
import type { ChannelEvent } from '../../src/freeswitch/esl';
import { createLogger } from '../../src/infra/logger';
import { until } from '../until';

const node = (name: string): NodeRow => ({ id: name, name }) as NodeRow;
/** A channel that is answered, and that no plan of ours let in. */
const unadmitted = (legId: string) =>
  ({ type: 'channel', phase: 'answered', direction: 'inbound', profile: 'internal', legId }) as ChannelEvent;

test('a node that answers nothing, and reports channels that nobody let in, keeps no other waiting', async () => {
  const asked: string[] = [];
  let answer: () => void = () => undefined;
  const api = (nodeId: string): Promise<unknown> => {
    asked.push(nodeId);
    return nodeId === 'mute' ? new Promise<void>((resolve) => (answer = resolve)) : Promise.resolve();
  };
  const logger = createLogger('silent');
  const done = (): Promise<void> => Promise.resolve();
  const lanes = createLanes(
    {
      logger,
      metrics: { countNodeEvent: () => undefined },
      settle: { logger, links: { api }, log: { record: done } },
      rooms: { handleMemberFacts: done },
    } as unknown as Container,
    {} as RegistrationDeps,
  );
  const intake = createEventBatches({ logger, lanes, laneOf, now: () => performance.now() });
  const [mute, good] = [intake.open(node('mute')), intake.open(node('good'))];
  for (let i = 0; i < 200; i += 1) mute.add(unadmitted(`m${i}`), 0);
  for (let i = 0; i < 10; i += 1) good.add(unadmitted(`g${i}`), 0);
  await until('all of the good node are done', () => asked.filter((id) => id === 'good').length === 10);
  expect(asked.filter((id) => id === 'mute')).toHaveLength(1);
  for (let i = 0; i < 300; i += 1) {
    answer();
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(asked.filter((id) => id === 'mute').length).toBeLessThanOrEqual(101);
});
