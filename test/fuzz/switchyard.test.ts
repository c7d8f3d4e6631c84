import { describeFinding } from '../../scripts/bench/fuzz/campaign';
import { OVER_HTTP, openTargets } from '../../scripts/bench/fuzz/list';
import type { Surroundings } from '../../scripts/bench/fuzz/cluster';
import { describeWithRealNode } from '../real-node';
import { useStores } from '../stores';
import { ADMIN_KEY, startApp, type App } from '../e2e/harness';
import { FIXED_SEED, randomSeed } from './seeds';

const stores = useStores();
let app: App;
let at: Surroundings;

beforeAll(async () => {
  app = await startApp(stores);
  const { name, password, xmlUrl } = await app.addNode('fuzzed');
  at = {
    url: app.url,
    adminKey: ADMIN_KEY,
    node: { name, password, xmlUrl },
    get errors() {
      return app.lines.filter((line) => (JSON.parse(line) as { level: number }).level >= 50);
    },
  };
});
afterAll(() => app?.close());

const RUNS = 60;

test.each(Object.keys(OVER_HTTP))('%s holds, with the inputs that every run tries and with others', async (name) => {
  const target = await OVER_HTTP[name]!(at);
  for (const seed of [FIXED_SEED, randomSeed]) {
    const { finding } = await target.run({ seed, runs: RUNS });
    expect(finding && describeFinding(finding)).toBeUndefined();
  }
});

/** One input takes a second: a node has to be heard out. */
const SIP_RUNS = 12;

describeWithRealNode('SIP', (binary) => {
  test('lets a real node do only what Switchyard allowed, whatever arrives', async () => {
    process.env.FREESWITCH_BIN ??= binary;
    const opened = await openTargets(['sip']);
    try {
      const { finding } = await opened.targets[0]!.run({ seed: FIXED_SEED, runs: SIP_RUNS });
      expect(finding && describeFinding(finding)).toBeUndefined();
    } finally {
      await opened.close();
    }
  });
});
