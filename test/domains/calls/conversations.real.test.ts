/** Who talks at a real node goes on, whatever became of the call they were brought together by; and the rows follow. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describeWithRealNode } from '../../real-node';
import { useStores } from '../../stores';
import { until } from '../../until';
import { openRealTalk, type RealTalk } from './real-talk';

/** More than the looks after which such people were cut off before. */
const LOOKS_MS = 12_000;

describeWithRealNode('conversations at real nodes', (freeswitch) => {
  const stores = useStores();
  let real: RealTalk;
  beforeAll(async () => {
    real = await openRealTalk(freeswitch, stores, 2);
    for (const name of ['ann', 'bert', 'carl']) await real.addPhone(name);
    await real.addPhone('faye', 1);
  }, 300_000);
  afterAll(() => real?.close());

  test.each([
    ['carl', 'to'],
    ['faye', 'transit'],
  ])(
    'Ann talks to Bert, then to %s, and is out when their far ends are bridged: those two talk on',
    async (other, role) => {
      const first = await real.talk('ann', 'bert');
      const second = await real.talk('ann', other);
      const node = async (callId: string): Promise<number> => {
        const call = await real.pool.api.get<{ node: string }>(`/v1/calls/${callId}`);
        return real.pool.nodes.findIndex(({ name }) => name === call.node);
      };
      expect([await node(first), await node(second)]).toEqual([0, 0]);
      const [ann1, bert] = [await real.legOf(first, 'from'), await real.legOf(first, 'to')];
      const [ann2, far] = [await real.legOf(second, 'from'), await real.legOf(second, role)];
      const ask = real.ask[0]!;
      await ask(`uuid_bridge ${bert} ${far}`);
      await ask(`uuid_kill ${ann1}`);
      await ask(`uuid_kill ${ann2}`);
      expect(await real.isIn(second, 'ended')).toMatchObject({ outcome: 'answered', joinedInto: first });
      await sleep(LOOKS_MS);
      expect([await ask(`uuid_exists ${bert}`), await ask(`uuid_exists ${far}`)]).toEqual(['true', 'true']);
      expect(await real.read(first)).toMatchObject({
        state: 'answered',
        joined: [{ id: second, to: `user:${other}` }],
      });
      const beganMs = Date.now();
      await real.pool.api.post(`/v1/calls/${first}/hangup`);
      const ended = await real.isIn(first, 'ended');
      expect(ended.outcome).toBe('answered');
      const wholeSeconds = (beganMs - Date.parse(ended.answeredAt)) / 1000;
      await until('its records came', async () => {
        const rows = (await stores.db('cdrs').whereIn('leg_id', [ann1, bert, ann2, far])) as unknown[];
        return rows.length === 4;
      });
      expect(Math.abs((await real.read(first)).talkSeconds! - wholeSeconds)).toBeLessThan(1);
      expect((await real.eventsOf(first)).filter((type) => type === 'call.joined')).toHaveLength(1);
      await until('no channel is left', async () => (await real.countChannels()) + (await real.countChannels(1)) === 0);
    },
    120_000,
  );

  test.each([
    ['from', 'carl', 'calls'],
    ['to', 'carl', 'calls'],
    ['to', 'carl', 'users'],
    ['from', 'faye', 'calls'],
    ['to', 'faye', 'users'],
  ])(
    'the leg "%s" that is sent to %s (in "%s") talks with them, and the call goes on',
    async (role, to, context) => {
      const id = await real.talk('ann', 'bert');
      await real.ask[0]!(`uuid_transfer ${await real.legOf(id, role)} ${to} XML ${context}`);
      await until('they talk', async () => {
        const where = { call_id: id, role: 'to', address: `user:${to}`, state: 'answered' };
        return (await stores.db('legs').where(where).first('id')) !== undefined;
      });
      await sleep(LOOKS_MS);
      expect((await real.read(id)).state).toBe('answered');
      expect((await real.eventsOf(id)).filter((type) => type === 'call.transferred')).toHaveLength(1);
      await real.pool.api.post(`/v1/calls/${id}/hangup`);
      expect((await real.isIn(id, 'ended')).outcome).toBe('answered');
      await until('no channel is left', async () => (await real.countChannels()) + (await real.countChannels(1)) === 0);
    },
    120_000,
  );
});
