/** A link must come back by itself, and must not believe a frozen node. */
import { findFreePort } from '../../../../scripts/stores/ports';
import { createNodeLink, pauseBefore, type EslError, type NodeLink } from '../../../../src/freeswitch/esl';
import { apiFrame, ScriptedNode, silent, until } from '../scripted-node';

let node: ScriptedNode;
let link: NodeLink | undefined;
beforeEach(async () => {
  node = await new ScriptedNode().listen();
});
afterEach(async () => {
  await link?.stop();
  link = undefined;
  await node.close();
});

/** @param probeTimeoutMs long where nothing is to be late: a busy machine is, now and then, by more than one thinks */
function start(
  onUp: () => Promise<void>,
  downs: { error: EslError; wasUp: boolean }[],
  probeTimeoutMs = 60_000,
): NodeLink {
  return (link = createNodeLink({
    host: '127.0.0.1',
    port: node.port,
    password: () => node.password,
    logger: silent,
    onUp,
    onDown: (error, report) => downs.push({ error, wasUp: report.wasUp }),
    probeIntervalMs: 30,
    probeTimeoutMs,
    random: () => 0.5,
    connectTimeoutMs: 60_000,
    firstPauseMs: 10,
    longestPauseMs: 40,
  }));
}

test('comes up again after the node was away', async () => {
  await node.close();
  const port = await findFreePort(); // one that nobody is given meanwhile
  node = await new ScriptedNode().listen(port);
  node.answer = () => apiFrame('alive');
  const downs: { error: EslError; wasUp: boolean }[] = [];
  let ups = 0;
  const l = start(() => Promise.resolve(void ups++), downs);
  await until(() => l.connection() !== undefined);
  await node.close();
  await until(() => downs.some((d) => d.error.kind === 'refused'));
  expect(l.connection()).toBeUndefined();
  expect(downs[0]).toMatchObject({ wasUp: true, error: { kind: 'lost' } });
  node = new ScriptedNode();
  node.answer = () => apiFrame('alive');
  await node.listen(port);
  await until(() => l.connection() !== undefined);
  expect(ups).toBe(2);
});

test('notices a frozen node by its silence', async () => {
  let frozen = false;
  node.answer = () => (frozen ? undefined : apiFrame('alive'));
  const downs: { error: EslError; wasUp: boolean }[] = [];
  const l = start(() => Promise.resolve(), downs, 300);
  await until(() => node.commands.filter((command) => command === 'api echo alive').length >= 2);
  frozen = true;
  await until(() => downs.length > 0);
  expect(downs[0]).toMatchObject({ wasUp: true, error: { kind: 'timeout' } });
  frozen = false;
  await until(() => l.connection() !== undefined);
});

test('tries anew where taking the node up fails', async () => {
  node.answer = () => apiFrame('alive');
  const downs: { error: EslError; wasUp: boolean }[] = [];
  let ups = 0;
  const l = start(() => (++ups < 3 ? Promise.reject(new Error('store away')) : Promise.resolve()), downs);
  await until(() => l.connection() !== undefined);
  expect(downs.map((d) => d.wasUp)).toEqual([false, false]);
});

test('stops at once, also while it connects', async () => {
  node.greeting = '';
  const l = start(() => Promise.resolve(), []);
  await until(() => node.sockets.length > 0);
  const before = Date.now();
  await l.stop();
  expect(Date.now() - before).toBeLessThan(30_000); // it has not waited for the end of connecting
});

test('pauses longer and longer, within bounds, and never in step with others', () => {
  expect([1, 2, 3, 4].map((n) => pauseBefore(n, 200, 1000, () => 1))).toEqual([200, 400, 800, 1000]);
  expect(pauseBefore(1, 200, 1000, () => 0)).toBe(100);
  expect(pauseBefore(1e6, 200, 1000, () => 0.5)).toBe(750);
});
