/** A broken node that reports what can't be written costs no other node's calls anything: batches are shared by all nodes. */
import { moveCalls, type CallEndDeps } from '../../../../src/domains/calls/events/move-calls';
import { createEventLog } from '../../../../src/domains/events/events';
import type { ChannelEvent } from '../../../../src/freeswitch/esl';
import { createId } from '../../../../src/infra/ids';
import { createLogger } from '../../../../src/infra/logger';
import { useStores } from '../../../stores';

const stores = useStores();
const logger = createLogger('silent');

async function placedCall(db: CallEndDeps['db']) {
  const [domainId, callId, legId] = [createId(), createId(), createId()];
  const now = new Date();
  await db('domains').insert({ id: domainId, name: `${domainId}.test` });
  await db('calls').insert({
    ...{ id: callId, domain_id: domainId, origin: 'api', from_address: 'user:a', to_address: '9196', caller_name: '' },
    ...{ state: 'placing', units: 1, ring_timeout_seconds: 30, place_before: now, queued_at: now, metadata: '{}' },
  });
  await db('call_attempts').insert({
    ...{ call_id: callId, number: 1, node_id: null, node_name: 'one', leg_id: legId, placed_at: now },
  });
  await db('legs').insert({
    ...{
      id: legId,
      call_id: callId,
      node_id: null,
      role: 'from',
      address: 'user:a',
      state: 'placing',
      created_at: now,
    },
  });
  return { callId, legId, node: { id: null as unknown as string, name: 'one', core_uuid: null } };
}

const event = (phase: string, legId: string, callId: string): ChannelEvent =>
  ({
    type: 'channel',
    phase,
    legId,
    callId,
    direction: 'outbound',
    channelName: 'sofia/internal/a',
    atMs: Date.now(),
  }) as ChannelEvent;

test("a leg in capital letters is nobody's, and what is reported beside it counts", async () => {
  const { db } = stores;
  const log = createEventLog(db, { ring: () => undefined }, logger);
  const deps = { db, log, logger, links: { api: () => Promise.resolve() }, claims: {} } as unknown as CallEndDeps;
  const { callId, legId, node } = await placedCall(db);
  const facts = [
    { kind: 'channel' as const, node, event: event('progress', legId.toUpperCase(), callId) },
    { kind: 'channel' as const, node, event: event('progress', legId, callId) },
  ];
  await moveCalls(deps, facts);
  expect(await db('calls').where({ id: callId }).first()).toMatchObject({ state: 'ringing' });
});
