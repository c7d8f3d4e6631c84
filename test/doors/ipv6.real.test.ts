/** Nodes and phones that have no address but one of IPv6: they join, register, are rung, and calls go from node to node. */
import { startRealPool, type PoolNode, type RealPool } from '../browser/pool/real-pool';
import { describeWithRealNode } from '../real-node';
import { useStores } from '../stores';
import { until } from '../until';
import { openRawSip, sdpOf, type RawAnswer, type RawSip } from './raw-sip';

const DOMAIN = 'six.test';
const PASSWORD = 'kettle-over-six-hills';
const REAL_TIMEOUT_MS = 240_000;

interface Call {
  id: string;
  state: string;
  outcome: string | null;
}

describeWithRealNode('a pool whose nodes are at ::1', (freeswitch) => {
  const stores = useStores();
  let pool: RealPool;
  const phones: RawSip[] = [];
  beforeAll(async () => {
    pool = await startRealPool(
      freeswitch,
      stores,
      2,
      { CANARY_SECONDS: '0' },
      undefined,
      undefined,
      undefined,
      undefined,
      '::1',
    );
    await pool.api.post('/v1/domains', { name: DOMAIN });
    for (const username of ['ann', 'bert'])
      await pool.api.post('/v1/users', { domain: DOMAIN, username, password: PASSWORD });
  }, REAL_TIMEOUT_MS);
  afterAll(async () => {
    for (const phone of phones) phone.close();
    await pool?.stop();
  }, REAL_TIMEOUT_MS);

  async function register(username: string, node: PoolNode): Promise<RawSip> {
    const phone = await openRawSip({ nodePort: node.sipPort, address: '::1' });
    phones.push(phone);
    const self = `sip:${username}@${DOMAIN}`;
    const contact = `sip:${username}@[::1]:${phone.port}`;
    const said = await phone.send({
      ...{ method: 'REGISTER', uri: `sip:${DOMAIN}`, from: self, to: self, contact, headers: ['Expires: 300'] },
      login: { username, password: PASSWORD },
    });
    expect(said.status).toBe(200);
    return phone;
  }

  const invite = (phone: RawSip, from: string, to: string): Promise<RawAnswer> =>
    phone.send({
      ...{ method: 'INVITE', uri: `sip:${to}@${DOMAIN}`, from: `sip:${from}@${DOMAIN}`, to: `sip:${to}@${DOMAIN}` },
      ...{ body: sdpOf('::1'), bodyType: 'application/sdp', login: { username: from, password: PASSWORD } },
    });

  test('a phone at ::1 registers at one node, and is rung there and from the other', async () => {
    const [first, second] = [pool.nodes[0]!, pool.nodes[1]!];
    const bert = await register('bert', first);
    const ann = await register('ann', second);
    await until('both are registered', async () => {
      const { items } = await pool.api.get<{ items: { registrations: object[] }[] }>('/v1/users');
      return items.every((user) => user.registrations.length === 1);
    });
    const said = await invite(ann, 'ann', 'bert');
    expect(said.status).toBe(200);
    expect(bert.countOf('INVITE')).toBe(1);
    const bye = await ann.send({ method: 'BYE', uri: said.dialog!.target, from: '', to: '', dialog: said.dialog! });
    expect(bye.status).toBe(200);
    const { id } = await pool.api.post<Call>('/v1/calls', { domain: DOMAIN, from: 'user:bert', to: '9196' });
    await until(
      'bert is rung by the API',
      async () => (await pool.api.get<Call>(`/v1/calls/${id}`)).state === 'answered',
    );
    await pool.api.post(`/v1/calls/${id}/hangup`, {});
  }, 60_000);
});
