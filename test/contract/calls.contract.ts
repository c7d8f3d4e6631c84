/** What Switchyard relies on of a call: replies, causes, and the order in which a channel's life is told. */
import { originateCall, userEndpoint, killChannel, channelExists } from '../../src/freeswitch/esl';
import { callerNameText } from '../../src/freeswitch/xml/escape';
import { DOMAIN, NOBODY_ANSWERS, PASSWORD, ringSeconds } from './peers/answerer';
import type { Contract } from './describe-node';
import type { ContractPhone, PhoneBehaviour } from './harness';
import { until } from '../until';
import type { RawEvent } from './peers/raw-client';

interface ListedChannel {
  uuid: string;
  application: string;
}

const PHONES: Record<string, PhoneBehaviour> = {
  '1001': { answerAfterMs: 150 },
  '1002': { answerAfterMs: 150, hangupAfterMs: 600 },
  '1003': { busy: true },
  '1004': { reject: true },
  [NOBODY_ANSWERS]: { ringOnly: true },
  '1009': { ringOnly: true },
};

function originate(legId: string, to: string, extension: string, extra: Record<string, string> = {}): string {
  return originateCall({
    legId,
    endpoint: userEndpoint(to, DOMAIN),
    variables: {
      switchyard_call_id: `call-${legId}`,
      switchyard_leg: 'from',
      accountcode: `call-${legId}`,
      origination_caller_id_name: 'Zoë',
      origination_caller_id_number: '1002',
      ...extra,
    },
    ringTimeoutSeconds: ringSeconds(to),
    destination: { extension, dialplan: 'XML', context: 'users' },
  }).line;
}

export const callContract: Contract = (nodeUnderTest) => {
  const phones: ContractPhone[] = [];
  beforeAll(async () => {
    for (const [username, behaviour] of Object.entries(PHONES)) {
      const phone = await nodeUnderTest().node.openPhone({ username, domain: DOMAIN, password: PASSWORD, behaviour });
      if ((await phone.register()) !== 200) throw new Error(`${username} did not register`);
      phones.push(phone);
    }
  });
  afterAll(() => phones.forEach((p) => p.close()));

  const told = (legId: string): RawEvent[] => nodeUnderTest().client.events.filter((e) => e['Unique-ID'] === legId);
  const names = (legId: string): string[] => told(legId).map((e) => e['Event-Name']!.replace('CHANNEL_', ''));
  const gone = (legId: string): Promise<RawEvent> =>
    nodeUnderTest().client.waitFor((e) => e['Event-Name'] === 'CHANNEL_DESTROY' && e['Unique-ID'] === legId);
  const dialled = (legId: string): Record<string, string>[] =>
    nodeUnderTest().answerer.forms.filter((f) => f['Unique-ID'] === legId && f.section === 'dialplan');

  test('a question that is cut off is asked once more, and the call goes on', async () => {
    const { client, answerer } = nodeUnderTest();
    Object.assign(answerer.cut, { destination: 'echo', times: 1 });
    expect(await client.job(originate('leg-cut', '1001', 'echo'), 'job-cut')).toBe('+OK leg-cut\n');
    await client.waitFor((e) => e['Event-Name'] === 'CHANNEL_ANSWER' && e['Unique-ID'] === 'leg-cut');
    await until('it was asked twice', () => dialled('leg-cut').length === 2);
    await client.send(`api ${killChannel('leg-cut', 'NORMAL_CLEARING').line}`);
    expect((await gone('leg-cut')).variable_current_application ?? 'echo').toBe('echo');
    Object.assign(answerer.cut, { destination: 'echo', times: 2 });
    await client.job(originate('leg-cut-twice', '1001', 'echo'), 'job-cut-twice');
    expect((await gone('leg-cut-twice'))['Hangup-Cause']).toBe('NO_ROUTE_DESTINATION');
  });

  test('a channel that is on hold is refused another hold, and one that is not the end of it', async () => {
    const { client } = nodeUnderTest();
    await client.job(originate('leg-hold', '1001', 'echo'), 'job-hold');
    await client.waitFor((e) => e['Event-Name'] === 'CHANNEL_ANSWER' && e['Unique-ID'] === 'leg-hold');
    const say = async (line: string): Promise<string> => (await client.send(`api ${line}`)).body;
    for (const line of ['uuid_hold leg-hold', 'uuid_hold off leg-hold']) {
      expect(await say(line)).toBe('+OK Success\n');
      expect(await say(line)).toBe('-ERR Operation failed\n');
    }
    await client.send(`api ${killChannel('leg-hold', 'NORMAL_CLEARING').line}`);
    await gone('leg-hold');
  });

  test('answered, connected, ended: both legs are told in order', async () => {
    const { client } = nodeUnderTest();
    expect(await client.job(originate('leg-ok', '1001', '1002'), 'job-ok')).toBe('+OK leg-ok\n');
    await gone('leg-ok');
    expect(names('leg-ok')).toEqual([
      'CREATE',
      'PROGRESS',
      'ANSWER',
      'BRIDGE',
      'UNBRIDGE',
      'HANGUP',
      'HANGUP_COMPLETE',
      'DESTROY',
    ]);
    const bridge = told('leg-ok').find((e) => e['Event-Name'] === 'CHANNEL_BRIDGE')!;
    const other = bridge['Bridge-B-Unique-ID']!;
    expect(bridge).toMatchObject({
      'Bridge-A-Unique-ID': 'leg-ok',
      'Other-Leg-Unique-ID': other,
      'Other-Type': 'originatee',
    });
    await gone(other);
    expect(names(other)).toEqual(['CREATE', 'PROGRESS', 'ANSWER', 'HANGUP', 'HANGUP_COMPLETE', 'DESTROY']);
    expect(told(other)[0]).toMatchObject({
      'Call-Direction': 'outbound',
      'Other-Type': 'originator',
      'Other-Leg-Unique-ID': 'leg-ok',
      'Caller-Destination-Number': '1002',
      variable_switchyard_call_id: 'call-leg-ok',
      variable_switchyard_leg: 'to',
      variable_originating_leg_uuid: 'leg-ok',
    });
    const end = told('leg-ok').find((e) => e['Event-Name'] === 'CHANNEL_HANGUP_COMPLETE')!;
    expect(end).toMatchObject({
      'Hangup-Cause': 'NORMAL_CLEARING',
      'Channel-State': 'CS_REPORTING',
      'Answer-State': 'hangup',
      variable_hangup_cause: 'NORMAL_CLEARING',
      variable_originate_disposition: 'SUCCESS',
      variable_bridge_uuid: other,
    });
    for (const name of ['Created', 'Answered', 'Hangup'])
      expect(Number(end[`Caller-Channel-${name}-Time`])).toBeGreaterThan(1e15);
    expect(Number(end.variable_billmsec)).toBeGreaterThan(400);
  });

  test('the plan was asked for with everything Switchyard reads', () => {
    const [form] = dialled('leg-ok');
    expect(form).toMatchObject({
      hostname: 'contract-node',
      'Caller-Destination-Number': '1002',
      'Hunt-Destination-Number': '1002',
      'Caller-Context': 'users',
      'Hunt-Context': 'users',
      'Call-Direction': 'outbound',
      'Answer-State': 'answered',
      'Caller-Caller-ID-Name': 'Zoë',
      'Caller-Caller-ID-Number': '1002',
      variable_switchyard_call_id: 'call-leg-ok',
      variable_switchyard_leg: 'from',
      variable_sofia_profile_name: 'internal',
      variable_dialed_user: '1001',
      variable_dialed_domain: DOMAIN,
    });
    const asked = nodeUnderTest().answerer.forms.find(
      (f) => f.action === 'user_call' && f.switchyard_call_id === 'call-leg-ok',
    );
    expect(asked).toMatchObject({ user: '1001', domain: DOMAIN, switchyard_leg: 'from' });
    // Nothing else of what the node knows of the call (enable-post-var).
    expect(asked).not.toHaveProperty('as_channel');
    expect(Object.keys(asked!).length).toBeLessThan(15);
  });

  test.each([
    ['busy', '1003', 'USER_BUSY', ['CREATE', 'HANGUP', 'HANGUP_COMPLETE', 'DESTROY']],
    ['rejected', '1004', 'CALL_REJECTED', ['CREATE', 'HANGUP', 'HANGUP_COMPLETE', 'DESTROY']],
    ['not answered', '1005', 'NO_ANSWER', ['CREATE', 'PROGRESS', 'HANGUP', 'HANGUP_COMPLETE', 'DESTROY']],
  ])('originate %s', async (_, to, cause, order) => {
    const legId = `leg-${to}`;
    expect(await nodeUnderTest().client.job(originate(legId, to, '1002'), `job-${to}`)).toBe(`-ERR ${cause}\n`);
    expect(await gone(legId)).toMatchObject({ 'Hangup-Cause': cause });
    expect(names(legId)).toEqual(order);
    expect(dialled(legId)).toEqual([]);
  });

  test.each([
    ['not registered', '1006', 'USER_NOT_REGISTERED'],
    ['unknown', '9999', 'SUBSCRIBER_ABSENT'],
  ])('originate to a user who is %s makes no channel', async (_, to, cause) => {
    expect(await nodeUnderTest().client.job(originate(`leg-${to}`, to, '1002'), `job-${to}`)).toBe(`-ERR ${cause}\n`);
    expect(told(`leg-${to}`)).toEqual([]);
  });

  test.each([
    ['busy', '1003', 'USER_BUSY'],
    ['rejecting', '1004', 'CALL_REJECTED'],
    ['silent', '1005', 'NO_ANSWER'],
    ['unregistered', '1006', 'USER_NOT_REGISTERED'],
    ['unknown number', '555', 'NO_ROUTE_DESTINATION'],
    ['refused number', 'refuse', 'UNALLOCATED_NUMBER'],
  ])('the second side is %s: the first leg ends with its cause', async (_, to, cause) => {
    const legId = `leg-to-${to}`;
    expect(await nodeUnderTest().client.job(originate(legId, '1001', to), `job-to-${to}`)).toBe(`+OK ${legId}\n`);
    expect(await gone(legId)).toMatchObject({ 'Hangup-Cause': cause });
    expect(names(legId)).toEqual(['CREATE', 'PROGRESS', 'ANSWER', 'HANGUP', 'HANGUP_COMPLETE', 'DESTROY']);
  });

  test('a channel exists under the uuid it was given, is listed, and is killed with its cause', async () => {
    const { client } = nodeUnderTest();
    await client.job(originate('leg-echo', '1001', 'echo'), 'job-echo');
    expect((await client.send(`api ${channelExists('leg-echo').line}`)).body).toBe('true');
    const rows = await until('it is in its application', async () => {
      const listed = JSON.parse((await client.send('api show channels as json')).body) as { rows?: ListedChannel[] };
      const isThere = listed.rows?.some((row) => row.uuid === 'leg-echo' && row.application === 'echo');
      return isThere ? listed.rows : undefined;
    });
    expect(rows).toContainEqual(
      expect.objectContaining({
        uuid: 'leg-echo',
        direction: 'outbound',
        state: 'CS_EXECUTE',
        callstate: 'ACTIVE',
        application: 'echo',
        dest: 'echo',
        context: 'users',
        accountcode: 'call-leg-echo',
        hostname: 'contract-node',
        initial_cid_name: 'Zoë',
      }),
    );
    expect((await client.send('api uuid_setvar leg-echo foo bar')).body).toBe('+OK\n');
    expect((await client.send('api uuid_getvar leg-echo foo')).body).toBe('bar');
    expect((await client.send('api uuid_send_dtmf leg-echo 12@100')).body).toBe('+OK leg-echo sent DTMF 12@100.\n');
    expect((await client.send(`api ${killChannel('leg-echo', 'MANAGER_REQUEST').line}`)).body).toBe('+OK\n');
    expect(await gone('leg-echo')).toMatchObject({ 'Hangup-Cause': 'MANAGER_REQUEST' });
    expect((await client.send('api uuid_exists leg-echo')).body).toBe('false');
  });

  test('killed while it rings: originate ends with the cause it was killed with', async () => {
    const { client } = nodeUnderTest();
    const result = client.job(originate('leg-kill', '1009', '1002'), 'job-kill');
    await client.waitFor((e) => e['Event-Name'] === 'CHANNEL_PROGRESS' && e['Unique-ID'] === 'leg-kill');
    await client.send('api uuid_kill leg-kill ORIGINATOR_CANCEL');
    expect(await result).toBe('-ERR ORIGINATOR_CANCEL\n');
    expect(await gone('leg-kill')).toMatchObject({ 'Hangup-Cause': 'ORIGINATOR_CANCEL' });
  });

  test('the first leg is killed while the second rings: that one is cancelled', async () => {
    const { client } = nodeUnderTest();
    await client.job(originate('leg-a', '1001', '1009'), 'job-a');
    const ringing = await client.waitFor(
      (e) => e['Event-Name'] === 'CHANNEL_PROGRESS' && e.variable_originating_leg_uuid === 'leg-a',
    );
    await client.send('api uuid_kill leg-a');
    expect(await gone(ringing['Unique-ID']!)).toMatchObject({ 'Hangup-Cause': 'ORIGINATOR_CANCEL' });
    expect(await gone('leg-a')).toMatchObject({ 'Hangup-Cause': 'NORMAL_CLEARING' });
  });

  test('a uuid that is in use makes no second channel', async () => {
    const { client } = nodeUnderTest();
    await client.job(originate('leg-twice', '1001', 'echo'), 'job-first');
    expect(await client.job(originate('leg-twice', '1001', 'echo'), 'job-second')).toBe(
      '-ERR DESTINATION_OUT_OF_ORDER\n',
    );
    await client.send('api uuid_kill leg-twice');
    await gone('leg-twice');
  });

  test.each([
    ['command', '${system(touch x)}'],
    ['global', '$${base_dir}'],
    ['markup', '"><x/>'],
    ['percent', 'Jos%E9'],
    ['quotes', `it's "me", {a=b} [c]`],
    ['emoji', '😀 Zoë'],
  ])('a caller named %s arrives as text', async (key, name) => {
    const { client } = nodeUnderTest();
    const legId = `leg-name-${key}`;
    const written = callerNameText(name);
    const line = originate(legId, '1001', 'echo', { origination_caller_id_name: written });
    expect(await client.job(line, `job-${key}`)).toBe(`+OK ${legId}\n`);
    await client.send(`api uuid_kill ${legId}`);
    await gone(legId);
    expect(told(legId)[0]).toMatchObject({
      'Caller-Caller-ID-Name': written.replace(/\{/g, '(').replace(/\}/g, ')'),
      variable_switchyard_call_id: `call-${legId}`,
      variable_switchyard_leg: 'from',
    });
  });

  test('every channel that ended was recorded over HTTP', async () => {
    const { cdrs } = nodeUnderTest().answerer;
    await until('the record came', () => cdrs.some((c) => c.body.includes('leg-ok')));
  });
};
