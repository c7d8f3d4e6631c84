/** CanaryScheduler go out by themselves: a node that lost its sound is found without anybody asking, and taken back. */
import { useStores } from '../../stores';
import { startApp, until, type Node, type App } from '../harness';

let app: App;
afterAll(() => app?.close());
const stores = useStores();
let node: Node;

beforeAll(async () => {
  app = await startApp(stores, { canarySeconds: 0.5 });
  node = await app.addNode('one');
  await app.addReplica();
});

const healthOf = async () => (await app.api('GET', `/v1/nodes/${node.id}`)).body.health;

test('a node that loses its sound is found by the schedule, and taken back', async () => {
  await until('a first canary was heard', async () => (await healthOf()).canary?.ok === true, 90_000);
  node.faults.muteAudio();
  await until('it is found out', async () => (await healthOf()).healthy === false, 90_000);
  node.faults.muteAudio(false);
  await until('it is taken back', async () => (await healthOf()).healthy === true, 90_000);
  await app.close();
  expect(node.isRunning).toBe(false);
}, 400_000);
