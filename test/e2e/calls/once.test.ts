/** No phone rings twice for one call: not after a process was killed at the worst moment, not with two replicas. */
import { createId } from '../../../src/infra/ids';
import { connectRaw, type RawClient } from '../../contract/peers/raw-client';
import { useStores } from '../../stores';
import { DOMAIN, PHONE_SECONDS, startApp, until, type Node, type App } from '../harness';

let app: App;
const ears: RawClient[] = [];
afterAll(async () => {
  for (const ear of ears) ear.close();
  await app?.close();
});
const stores = useStores();
let node: Node;
let other: Node;

beforeAll(async () => {
  app = await startApp(stores);
  [node, other] = [await app.addNode('one'), await app.addNode('two')];
  for (const at of [node, other]) {
    const ear = await connectRaw(at.eslPort);
    await ear.send(`auth ${at.eslPassword}`);
    await ear.send('event json CHANNEL_CREATE BACKGROUND_JOB');
    ears.push(ear);
  }
  await app.addPhone(node, 'ann', { ringOnly: true });
  await app.addPhone(node, 'bob', { answerAfterMs: 2000 });
});

/** Every ring of a phone, as the nodes tell it. */
const rings = (callId: string): string[] =>
  ears
    .flatMap((ear) => ear.events)
    .filter((e) => e['Event-Name'] === 'CHANNEL_CREATE' && e['Call-Direction'] === 'outbound')
    .filter((e) => e.variable_switchyard_call_id === callId && e['Channel-Name']!.startsWith('sofia/internal/'))
    .map((e) => e['Unique-ID']!);

/** What a process has written down when it is killed between recording an attempt and dialling. */
async function writeAttempt(from: string): Promise<{ id: string; leg: string }> {
  const domain = (await stores.db('domains').where({ name: DOMAIN }).first('id')) as { id: string };
  const [id, leg, now] = [createId(), createId(), new Date()];
  await stores.db.transaction(async (trx) => {
    await trx('calls').insert({
      id,
      domain_id: domain.id,
      origin: 'api',
      from_address: from,
      to_address: '9196',
      state: 'placing',
      node_id: node.id,
      units: '1',
      ring_timeout_seconds: 30,
      place_before: new Date(now.getTime() + 30_000),
      placing_at: now,
    });
    const at = { node_id: node.id, node_name: node.name, node_core_uuid: node.coreUuid };
    await trx('call_attempts').insert({ call_id: id, number: 1, leg_id: leg, placed_at: now, ...at });
    await trx('legs').insert({ id: leg, call_id: id, node_id: node.id, role: 'from', state: 'placing' });
  });
  return { id, leg };
}

test('killed after it was written down and before it was dialled: the call is lost, and nothing rings', async () => {
  const { id } = await writeAttempt('user:ann');
  const ended = await app.callIs(id, 'ended');
  expect(ended).toMatchObject({ outcome: 'lost', hangupCause: 'NODE_UNKNOWN' });
  expect(ended.attempts).toHaveLength(1);
  expect(rings(id)).toEqual([]);
  await until('nothing is claimed for it', async () => {
    return (await app.api('GET', `/v1/nodes/${node.id}`)).body.claimedUnits === 0;
  });
});

test('killed after it was dialled: the next process follows the ringing phone to its answer', async () => {
  const { id, leg } = await writeAttempt('user:bob');
  const variables = `origination_uuid=${leg},switchyard_call_id=${id},switchyard_leg=from,accountcode=${id}`;
  const said = ears[0]!.job(`originate {${variables}}user/bob@${DOMAIN} 9196 XML calls`, leg);
  await app.callIs(id, 'answered');
  await app.hangUp(id);
  expect(await app.callIs(id, 'ended')).toMatchObject({ outcome: 'answered', hangupCause: 'NORMAL_CLEARING' });
  // How long it rang depends on the machine: that it did is read from its events.
  expect(await app.eventsOf(id)).toEqual(
    expect.arrayContaining(['call.ringing', 'call.answered', 'call.ended']) as string[],
  );
  expect(await said).toContain('+OK');
  expect(rings(id)).toEqual([leg]);
});

test('hung up before its node had a channel: the phone that rings all the same is let go at once', async () => {
  const { id, leg } = await writeAttempt('user:ann');
  await app.hangUp(id); // the node has nothing to end yet
  const variables = `origination_uuid=${leg},switchyard_call_id=${id},switchyard_leg=from,accountcode=${id}`;
  const said = ears[0]!.job(
    `originate {${variables},call_timeout=300,originate_timeout=300}user/ann@${DOMAIN} 9196 XML calls`,
    leg,
  );
  expect(await app.callIs(id, 'ended')).toMatchObject({ outcome: 'cancelled', hangupCause: 'ORIGINATOR_CANCEL' });
  expect(await said).toContain('-ERR ORIGINATOR_CANCEL');
  await until('no channel is left', () => node.channelCount === 0);
});

test('two replicas and fifty calls: each phone rings once', async () => {
  const replica = await app.addReplica();
  const names = Array.from({ length: 50 }, (_, i) => `phone-${i}`);
  for (const [i, name] of names.entries()) {
    await app.addUser(name);
    const at = i % 2 ? node : other;
    await at.registerPhone({
      username: name,
      domain: DOMAIN,
      password: `password-of-${name}`,
      behaviour: { answerAfterMs: 200 },
      expiresSeconds: PHONE_SECONDS,
    });
  }
  await until('all phones are known', async () => {
    const { body } = await app.api('GET', `/v1/users?domain=${DOMAIN}&limit=200`);
    const known = body.items.filter((user: { registrations: unknown[] }) => user.registrations.length > 0);
    return names.every((name) => known.some((user: { username: string }) => user.username === name));
  });
  const ids = await Promise.all(
    names.map(async (name, i) => {
      // Fifty at once take their time on a small machine: how long is not what this is about.
      const patience = { ringTimeoutSeconds: 300, queueTimeoutSeconds: 300 };
      const asked = { domain: DOMAIN, from: `user:${name}`, to: '9196', ...patience };
      const answer = await app.api('POST', '/v1/calls', asked, i % 2 ? app.url : replica.url);
      expect(answer.status).toBe(201);
      return answer.body.id as string;
    }),
  );
  await until(
    'all are answered',
    async () => {
      const { body } = await app.api('GET', '/v1/calls?state=answered&limit=200');
      return body.items.length === 50;
    },
    90_000,
  );
  await until('the rings are told here as well', () => ids.every((id) => rings(id).length > 0));
  for (const id of ids) expect(rings(id)).toHaveLength(1);
  const { body } = await app.api('GET', '/v1/calls?state=answered&limit=200', undefined, replica.url);
  expect(body.items.every((call: { attempts: unknown[] }) => call.attempts.length === 1)).toBe(true);
  await Promise.all(ids.map((id) => app.hangUp(id, replica.url)));
  await until('all have ended', async () => {
    return (await app.api('GET', '/v1/calls?state=answered')).body.items.length === 0;
  });
});
