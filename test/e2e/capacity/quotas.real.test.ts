/** Quotas on a real FreeSWITCH: what a phone hears that is refused, and that a node lets a surplus phone go. */
import { startRealPool, type RealPool } from '../../browser/pool/real-pool';
import { openPhone as openSipPhone, type Phone } from '../../../scripts/sip-phone/phone';
import { describeWithRealNode } from '../../real-node';
import { useStores } from '../../stores';
import { until } from '../harness';

const DOMAIN = 'clinic.test';
const PASSWORD = 'a-long-password-of-carl';

describeWithRealNode('quotas on a real node', (freeswitch) => {
  let pool: RealPool;
  const stores = useStores();
  const phones: Phone[] = [];

  beforeAll(async () => {
    pool = await startRealPool(freeswitch, stores, 1, { HEALTH_SECONDS: '0', CANARY_SECONDS: '0' });
    await pool.api.post('/v1/domains', { name: DOMAIN });
    await pool.api.post('/v1/users', { domain: DOMAIN, username: 'carl', password: PASSWORD });
  }, 300_000);
  afterAll(async () => {
    for (const phone of phones) phone.close();
    await pool?.stop();
  });

  const openPhone = async (): Promise<Phone> => {
    const { sip_port: nodePort } = (await stores.db('nodes').first('sip_port')) as { sip_port: number };
    const phone = await openSipPhone({ username: 'carl', domain: DOMAIN, password: PASSWORD, nodePort });
    phones.push(phone);
    return phone;
  };
  const setQuotas = (limits: object): Promise<unknown> => pool.api.put(`/v1/quotas/${DOMAIN}`, limits);

  test("a phone's call beyond each quota ends with 503 at once, and within it is answered", async () => {
    const phone = await openPhone();
    expect(await phone.register()).toBe(200);
    for (const quota of ['callsPerSecond', 'ringingCalls', 'units']) {
      await setQuotas({ [quota]: 0 });
      expect([quota, (await phone.dial('9196')).status]).toEqual([quota, 503]);
    }
    expect(await stores.db('calls').count('* as n').first()).toEqual({ n: '0' });
    await setQuotas({});
    const call = await phone.dial('9196');
    expect(call.status).toBe(200);
    await call.hangup();
  });

  test('the phone not seen for longest is let go by its node, and its contact is rung no more', async () => {
    await setQuotas({ registrationsPerUser: 1 });
    const other = await openPhone();
    const contacts = async (): Promise<string[]> =>
      ((await stores.db('registrations').select('contact')) as { contact: string }[]).map(({ contact }) => contact);
    await until('the other is the only one', async () => {
      await other.register({ isRestarted: true }); // a new Call-ID each time, as after a restart
      const known = await contacts();
      return known.length === 1 && known[0]!.endsWith(`:${other.port}`);
    });
    other.behaviour = { ringOnly: true };
    phones[0]!.behaviour = { ringOnly: true };
    const { id } = await pool.api.post<{ id: string }>('/v1/calls', { domain: DOMAIN, from: 'user:carl', to: '9196' });
    await until('the one that is left rings', () => other.invites.length > 0);
    expect(phones[0]!.invites).toHaveLength(0);
    await pool.api.post(`/v1/calls/${id}/hangup`, {});
  });
});
