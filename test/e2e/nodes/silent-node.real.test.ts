/** A real node stands still (SIGSTOP) for so long that its calls are given up; when it goes on, so do they. */
import { setTimeout as sleep } from 'node:timers/promises';
import { startRealPool, type RealPool } from '../../browser/pool/real-pool';
import { openPhone, type Phone } from '../../../scripts/sip-phone/phone';
import { describeWithRealNode } from '../../real-node';
import { useStores } from '../../stores';
import { until } from '../harness';

const DOMAIN = 'clinic.test';
const PASSWORD = 'a-long-password-of-carl';
/** Half a minute of silence, and what it takes to see it. */
const GIVEN_UP_MS = 90_000;
/** After this a channel that hears nobody would be ended, at the next look. */
const ALONE_MS = 20_000;

describeWithRealNode('a real node that stands still', (freeswitch) => {
  let pool: RealPool;
  let phone: Phone | undefined;
  const stores = useStores();
  afterAll(async () => {
    phone?.close();
    await pool?.stop();
  });

  test('a phone that hears the echo is not hung up when its node goes on', async () => {
    pool = await startRealPool(freeswitch, stores, 1, { HEALTH_SECONDS: '0', CANARY_SECONDS: '0' });
    await pool.api.post('/v1/domains', { name: DOMAIN });
    await pool.api.post('/v1/users', { domain: DOMAIN, username: 'carl', password: PASSWORD });
    const node = pool.nodes[0]!;
    phone = await openPhone({ username: 'carl', domain: DOMAIN, password: PASSWORD, nodePort: node.sipPort });
    expect(await phone.register()).toBe(200);
    expect((await phone.dial('9196')).status).toBe(200);
    const read = async (): Promise<{ state: string; outcome: string | null }[]> =>
      (await pool.api.get<{ items: { state: string; outcome: string | null }[] }>('/v1/calls')).items;
    await until('the call is answered', async () => (await read())[0]?.state === 'answered');

    process.kill(node.process.pid, 'SIGSTOP');
    try {
      await until('it is given up', async () => (await read())[0]!.outcome === 'lost', GIVEN_UP_MS);
    } finally {
      process.kill(node.process.pid, 'SIGCONT');
    }
    await until('it goes on', async () => (await read())[0]!.state === 'answered', GIVEN_UP_MS);
    await sleep(ALONE_MS);
    expect(await read()).toMatchObject([{ state: 'answered', outcome: null }]);
    expect(await pool.command(node, 'show channels count')).toMatch(/\b1 total/);
  }, 400_000);
});
