/** Phones of two tenants that have one Call-ID, by chance or by spite: what happens to the one is nothing to the other. */
import { startRealPool, type RealPool } from '../browser/pool/real-pool';
import { describeWithRealNode } from '../real-node';
import { useStores } from '../stores';
import { until } from '../until';
import { openRawSip, type RawSip } from './raw-sip';

const [ALPHA, BETA] = ['alpha.test', 'beta.test'];
const PASSWORD = 'Kx7-wombat-plinth-92';

describeWithRealNode('phones with one Call-ID at a real node', (freeswitch) => {
  const stores = useStores();
  const opened: RawSip[] = [];
  let pool: RealPool;

  beforeAll(async () => {
    pool = await startRealPool(freeswitch, stores, 1);
    for (const [domain, username] of [
      [ALPHA, 'ann'],
      [BETA, 'eve'],
      [ALPHA, 'slow'],
      [ALPHA, 'bert'],
    ] as const) {
      if (username !== 'slow' && username !== 'bert') await pool.api.post('/v1/domains', { name: domain });
      await pool.api.post('/v1/users', { domain, username, password: PASSWORD });
    }
  });
  afterAll(async () => {
    for (const one of opened) one.close();
    await pool?.stop();
  });

  async function openPhone(): Promise<RawSip> {
    const sip = await openRawSip({ nodePort: pool.nodes[0]!.sipPort });
    opened.push(sip);
    return sip;
  }
  async function register(sip: RawSip, username: string, domain: string, o: { user?: string; callId?: string } = {}) {
    const itself = `sip:${username}@${domain}`;
    const contact = `sip:${o.user ?? username}@127.0.0.1:${sip.port}`;
    const { status } = await sip.send({
      ...{ method: 'REGISTER', uri: `sip:${domain}`, from: itself, to: itself, contact, callId: o.callId },
      ...{ login: { username, password: PASSWORD }, headers: ['Expires: 300'] },
    });
    expect(status).toBe(200);
  }
  const phonesAre = (username: string, domain: string, count: number) =>
    until(`${username} has ${count} phones`, async () => {
      const path = `/v1/users?domain=${domain}&username=${username}`;
      const { items } = await pool.api.get<{ items: { registrations: { contact: string }[] }[] }>(path);
      return items[0]!.registrations.length === count ? items[0]!.registrations : undefined;
    });
  const listed = (name: string): Promise<string> =>
    pool.command(pool.nodes[0]!, `sofia status profile internal user ${name}`);

  test("a phone that takes another's Call-ID and starts anew leaves the other where it is", async () => {
    const [ann, eve] = [await openPhone(), await openPhone()];
    await register(ann, 'ann', ALPHA, { callId: 'shared@raw' });
    await phonesAre('ann', ALPHA, 1);
    await register(eve, 'eve', BETA, { callId: 'shared@raw' });
    await phonesAre('eve', BETA, 1);
    await register(eve, 'eve', BETA, { user: 'other', callId: 'own@raw' });
    await until('it is known anew', async () => (await phonesAre('eve', BETA, 1))[0]!.contact.includes('other@'));
    await new Promise((resolve) => setTimeout(resolve, 2000));
    expect(await listed(`ann@${ALPHA}`)).toContain('shared@raw');
    await phonesAre('ann', ALPHA, 1);
  });

  test('a phone that is slow to answer is there, though its call was given up before', async () => {
    const [slow, bert] = [await openPhone(), await openPhone()];
    slow.onInvite = () => undefined;
    await register(slow, 'slow', ALPHA);
    await register(bert, 'bert', ALPHA);
    await phonesAre('slow', ALPHA, 1);
    for (let n = 0; n < 3; n += 1) {
      const { id } = await pool.api.post<{ id: string }>('/v1/calls', {
        domain: ALPHA,
        from: 'user:slow',
        to: 'user:bert',
      });
      await until('it is rung', () => slow.countOf('INVITE') > n);
      await pool.api.post(`/v1/calls/${id}/hangup`, {});
      await until('it has ended', async () => {
        const now = await pool.api.get<{ state: string }>(`/v1/calls/${id}`);
        return now.state === 'ended';
      });
    }
    await new Promise((resolve) => setTimeout(resolve, 3000));
    await phonesAre('slow', ALPHA, 1);
  });
});
