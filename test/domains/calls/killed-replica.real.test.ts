/** Switchyard is killed while people talk at real nodes: they notice nothing, and afterwards every record is right. */
import { setTimeout as sleep } from 'node:timers/promises';
import { headerOf } from '../../../scripts/sip-phone/message';
import type { RawSip } from '../../doors/raw-sip';
import { describeWithRealNode } from '../../real-node';
import { useStores } from '../../stores';
import { until } from '../../until';
import { openRealTalk, TALK_DOMAIN, type RealTalk, type TalkCall } from './real-talk';
import { startReplicaProcess, type ReplicaProcess } from './replica-process';

const CALLS = 20;
const AWAY_MS = 20_000;

const uriIn = (header: string | undefined): string => /<([^>]+)>/.exec(header ?? '')?.[1] ?? '';
const tagIn = (header: string | undefined): string => /;tag=([^;>\s]+)/.exec(header ?? '')?.[1] ?? '';

/** Hangs up as the phone that was rung does: by a BYE in the dialog of that INVITE. @returns when it was answered */
async function hangUp(phone: RawSip, index: number): Promise<number> {
  const invite = phone.got.filter((message) => message.start.startsWith('INVITE'))[index]!;
  const [from, to] = [headerOf(invite, 'from'), headerOf(invite, 'to')];
  const { status } = await phone.send({
    method: 'BYE',
    uri: uriIn(headerOf(invite, 'contact')),
    from: uriIn(to),
    to: uriIn(from),
    dialog: {
      callId: headerOf(invite, 'call-id')!,
      fromTag: 'raw',
      toTag: tagIn(from),
      target: uriIn(headerOf(invite, 'contact')),
      from: uriIn(to),
      to: uriIn(from),
      nextSequence: 1,
    },
  });
  expect(status).toBe(200);
  return Date.now();
}

describeWithRealNode('a killed Switchyard', (freeswitch) => {
  const stores = useStores();
  let real: RealTalk;
  let replica: ReplicaProcess;
  const callees: RawSip[] = [];
  beforeAll(async () => {
    real = await openRealTalk(freeswitch, stores, 2, {}, async (environment) => {
      replica = await startReplicaProcess(environment);
      return { url: replica.url, stop: () => replica.stop() };
    });
    for (let i = 0; i < CALLS; i += 1) {
      await real.addPhone(`a${i}`, i % 2);
      // Every fourth call crosses the pool.
      callees.push(await real.addPhone(`b${i}`, i % 4 === 3 ? 0 : i % 2));
    }
  }, 400_000);
  afterAll(() => real?.close());

  test('20 s without it during 20 calls: those that end have their true length, the others are controlled again', async () => {
    const ids: string[] = [];
    for (let i = 0; i < CALLS; i += 1) {
      const asked = { domain: TALK_DOMAIN, from: `user:a${i}`, to: `user:b${i}` };
      ids.push((await real.pool.api.post<{ id: string }>('/v1/calls', asked)).id);
    }
    const before = new Map<string, TalkCall>();
    for (const id of ids) before.set(id, await real.isIn(id, 'answered'));
    await replica.kill();
    const killedMs = Date.now();
    const endedMs = new Map<string, number>();
    for (let i = 0; i < CALLS; i += 2) {
      const phone = i % 4 === 0 ? i : i + 1; // of both nodes, and of those that cross the pool
      endedMs.set(ids[phone]!, await hangUp(callees[phone]!, 0));
      await sleep(1700);
    }
    await sleep(Math.max(0, AWAY_MS - (Date.now() - killedMs)));
    await replica.start();
    for (const [id, ms] of endedMs) {
      const call = await real.isIn(id, 'ended');
      const talked = (ms - Date.parse(before.get(id)!.answeredAt)) / 1000;
      expect([id, call.outcome, call.hangupCause]).toEqual([id, 'answered', 'NORMAL_CLEARING']);
      expect(Math.abs(call.talkSeconds! - talked)).toBeLessThan(1);
    }
    const legs = (await stores
      .db('legs')
      .whereIn('call_id', [...endedMs.keys()])
      .select('id')) as { id: string }[];
    await until('every record of them came', async () => {
      const kept = await stores.db('cdrs').whereIn(
        'leg_id',
        legs.map(({ id }) => id),
      );
      return kept.length === legs.length;
    });
    for (const [at, node] of real.pool.nodes.entries()) {
      const folder = `${(await real.ask[at]!('global_getvar log_dir')).trim()}/json_cdr`;
      await until(
        `nothing is left on ${node.name}`,
        async () => !(await real.ask[at]!(`spawn_stream ls -1 ${folder}`)).includes('.cdr.json'),
      );
    }
    const talking = ids.filter((id) => !endedMs.has(id));
    expect(talking).toHaveLength(CALLS / 2);
    for (const id of talking) {
      expect((await real.read(id)).state).toBe('answered');
      await real.pool.api.post(`/v1/calls/${id}/hold`);
      await real.pool.api.post(`/v1/calls/${id}/unhold`);
      const endingMs = Date.now();
      await real.pool.api.post(`/v1/calls/${id}/hangup`);
      const call = await real.isIn(id, 'ended');
      expect(call.outcome).toBe('answered');
      expect(Math.abs(call.talkSeconds! - (endingMs - Date.parse(call.answeredAt)) / 1000)).toBeLessThan(1);
    }
    await until('no channel is left', async () => (await real.countChannels()) + (await real.countChannels(1)) === 0);
    const types = await Promise.all(ids.map((id) => real.eventsOf(id)));
    expect(types.map((each) => each.filter((type) => type === 'call.ended').length)).toEqual(Array(CALLS).fill(1));
  }, 300_000);
});
