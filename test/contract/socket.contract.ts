/** What Switchyard relies on of the Event Socket and of a registration, byte for byte where bytes count. */
import { until } from '../until';
import { DOMAIN, ESL_PASSWORD, PASSWORD } from './peers/answerer';
import type { Contract } from './describe-node';
import { connectRaw } from './peers/raw-client';

const JSON_EMPTY = '{"row_count": 0}\n';

export const socketContract: Contract = (nodeUnderTest) => {
  test('it asked for its Event Socket with its own credentials and name', () => {
    const { requests, authorizations } = nodeUnderTest().answerer;
    expect(requests).toContainEqual(
      expect.objectContaining({ kind: 'configuration', name: 'event_socket.conf', nodeName: 'contract-node' }),
    );
    expect([...authorizations]).toEqual([
      `Basic ${Buffer.from('contract-node:join-token.node-secret').toString('base64')}`,
    ]);
  });

  test('which process asks is said with sofia.conf and conference.conf, and not with the Event Socket’s own question', () => {
    const of = (name: string) => nodeUnderTest().answerer.forms.find((form) => form.key_value === name);
    const asked = ['conference.conf', 'sofia.conf', 'event_socket.conf'].map((name) =>
      nodeUnderTest().answerer.forms.indexOf(of(name)!),
    );
    expect(asked[0]).toBeGreaterThanOrEqual(0);
    expect(asked).toEqual([...asked].sort((a, b) => a - b)); // so that it is known by then
    expect(of('event_socket.conf')!['Core-UUID']).toBeUndefined();
    const core = of('sofia.conf')!['Core-UUID'];
    expect(core).toMatch(/^[0-9a-f-]{36}$/);
    expect(of('conference.conf')!['Core-UUID']).toBe(core);
  });

  test('the right password is accepted', async () => {
    const client = await connectRaw(nodeUnderTest().node.eslPort);
    expect((await client.send(`auth ${ESL_PASSWORD}`)).headers['reply-text']).toBe('+OK accepted');
    client.close();
  });

  test('a wrong password is refused, and the connection ended', async () => {
    const client = await connectRaw(nodeUnderTest().node.eslPort);
    expect((await client.send('auth wrong')).headers['reply-text']).toBe('-ERR invalid');
    await client.closed;
    expect(client.notices.map((n) => n.headers['content-type'])).toEqual(['text/disconnect-notice']);
  });

  test('commands before the password are denied, without an end', async () => {
    const client = await connectRaw(nodeUnderTest().node.eslPort);
    expect((await client.send('api status')).headers['reply-text']).toBe('-ERR command not found');
    expect((await client.send('bgapi status')).headers['reply-text']).toBe('-ERR command not found');
    expect((await client.send(`auth ${ESL_PASSWORD}`)).headers['reply-text']).toBe('+OK accepted');
    client.close();
  });

  test.each([
    ['nosuchcmd a b', '-ERR nosuchcmd Command not found!\n'],
    ['echo Zoë 😀', 'Zoë 😀'],
    ['uuid_exists nobody', 'false'],
    ['uuid_kill nobody', '-ERR No such channel!\n'],
    ['uuid_kill', '-USAGE: <uuid> [cause]\n'],
    ['uuid_transfer nobody 1', '-ERR No such channel!\n'],
    ['uuid_setvar nobody a b', '-ERR No such channel!\n'],
    ['uuid_park nobody', '-ERR No such channel!\n'],
    ['uuid_dump nobody json', '-ERR No such channel!\n'],
    ['uuid_hold nobody', '+OK Success\n'],
    ['uuid_broadcast nobody x', '-ERR invalid uuid\n'],
    ['uuid_send_dtmf nobody 1', '-ERR Cannot locate session!\n'],
    ['uuid_bridge nobody none', '-ERR Invalid uuid\n'],
    ['show channels as json', JSON_EMPTY],
    ['conference json_list', '[]'],
    ['reloadacl', '+OK acl reloaded\n'],
    ['reloadxml', '+OK [Success]\n'],
    [`xml_flush_cache id nobody ${DOMAIN}`, '+OK cleared 0 entries\n'],
    [`sofia_contact internal/nobody@${DOMAIN}`, 'error/user_not_registered'],
    ['originate error/user_busy 1 XML users', '-ERR USER_BUSY\n'],
  ])('api %s', async (line, expected) => {
    const answer = await nodeUnderTest().client.send(`api ${line}`);
    expect(answer.headers['content-type']).toBe('api/response');
    expect(answer.body).toBe(expected);
  });

  test('reloadacl lets in a host that the list has had only since', async () => {
    const { client, answerer } = nodeUnderTest();
    const isIn = async (address: string) => (await client.send(`api acl ${address} pool`)).body.trim() === 'true';
    expect([await isIn('127.0.0.1'), await isIn('192.0.2.9'), await isIn('no address')]).toEqual([true, false, false]);
    answerer.poolHosts.push('192.0.2.9');
    await client.send('api reloadacl');
    await until('the new host is let in', () => isIn('192.0.2.9'));
    expect([await isIn('127.0.0.1'), await isIn('192.0.2.10')]).toEqual([true, false]);
  });

  test('status and version read as a FreeSWITCH', async () => {
    const { client } = nodeUnderTest();
    expect((await client.send('api status')).body).toMatch(
      /^UP \d+ years, .*\nFreeSWITCH \(Version .*\) is ready\n\d+ session\(s\) since startup\n/,
    );
    expect((await client.send('api version')).body).toMatch(/^FreeSWITCH Version 1\.\d+/);
    expect((await client.send('api sofia status')).body).toMatch(/internode\tprofile\t.*\n.*internal\tprofile/);
  });

  test.each(['foo', 'api', 'bgapi'])('the line %s is no command', async (line) => {
    expect((await nodeUnderTest().client.send(line)).headers['reply-text']).toBe('-ERR command not found');
  });

  test('bgapi keeps the job id it is given, and the result comes as an event', async () => {
    const { client } = nodeUnderTest();
    const event = client.waitFor((e) => e['Job-UUID'] === 'job-of-ours');
    const reply = await client.send('bgapi echo Zoë\nJob-UUID: job-of-ours');
    expect(reply.headers).toMatchObject({ 'reply-text': '+OK Job-UUID: job-of-ours', 'job-uuid': 'job-of-ours' });
    expect(await event).toMatchObject({
      'Event-Name': 'BACKGROUND_JOB',
      'Job-Command': 'echo',
      'Job-Command-Arg': 'Zoë',
      _body: 'Zoë',
    });
  });

  test('answers come in the order of their commands', async () => {
    const { client } = nodeUnderTest();
    const answers = await Promise.all(['a', 'b', 'c', 'd'].map((word) => client.send(`api echo ${word}`)));
    expect(answers.map((a) => a.body)).toEqual(['a', 'b', 'c', 'd']);
  });

  test('a heartbeat tells what placement needs', async () => {
    const beat = await nodeUnderTest().client.waitFor((e) => e['Event-Name'] === 'HEARTBEAT');
    expect(beat).toMatchObject({
      'Event-Info': 'System Ready',
      'FreeSWITCH-Switchname': 'contract-node',
      'Core-UUID': expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
      'Session-Count': '0',
      'Max-Sessions': '1000',
    });
    for (const name of ['Uptime-msec', 'Session-Per-Sec', 'Idle-CPU', 'Event-Date-Timestamp'])
      expect(Number(beat[name])).toBeGreaterThan(0);
  });

  test('noevents ends the events, and exit the connection', async () => {
    const client = await connectRaw(nodeUnderTest().node.eslPort);
    await client.send(`auth ${ESL_PASSWORD}`);
    expect((await client.send('event json')).headers['reply-text']).toBe('-ERR no keywords supplied');
    expect((await client.send('event json HEARTBEAT')).headers['reply-text']).toBe('+OK event listener enabled json');
    expect((await client.send('noevents')).headers['reply-text']).toBe('+OK no longer listening for events');
    expect((await client.send('noevents')).headers['reply-text']).toBe('-ERR not listening for events');
    expect((await client.send('exit')).headers['reply-text']).toBe('+OK bye');
    await client.closed;
    expect(client.notices[0]?.body).toContain('Disconnected, goodbye.');
  });

  test('a phone registers: asked for, told and listed; then its end is told', async () => {
    const { client, node, answerer } = nodeUnderTest();
    const phone = await node.openPhone({ username: '1006', domain: DOMAIN, password: PASSWORD, behaviour: {} });
    const told = client.waitFor((e) => e['Event-Subclass'] === 'sofia::register' && e['from-user'] === '1006');
    expect(await phone.register(300)).toBe(200);
    expect(await told).toMatchObject({
      'profile-name': 'internal',
      'to-user': '1006',
      'to-host': DOMAIN,
      username: '1006',
      realm: DOMAIN,
      expires: '300',
      status: expect.stringMatching(/^Registered\(UDP/) as string,
      contact: expect.stringMatching(/<sip:1006@127\.0\.0\.1:\d+.*>/) as string,
      effective_caller_id_name: 'Zoë 1006',
    });
    expect(answerer.requests).toContainEqual(
      expect.objectContaining({ kind: 'user', purpose: 'sip_auth', username: '1006', sipMethod: 'REGISTER' }),
    );
    const row = await listed(client, '1006');
    expect(row).toMatchObject({
      reg_user: '1006',
      realm: DOMAIN,
      url: expect.stringMatching(/^sofia\/internal\/sip:1006@127\.0\.0\.1:\d+/) as string,
      network_ip: '127.0.0.1',
      network_proto: 'udp',
      hostname: 'contract-node',
    });
    expect(Math.abs(Number(row.expires) - Date.now() / 1000 - 300)).toBeLessThan(90);
    const ended = client.waitFor((e) => e['Event-Subclass'] === 'sofia::unregister' && e['from-user'] === '1006');
    expect(await phone.unregister()).toBe(200);
    expect(await ended).toMatchObject({ 'profile-name': 'internal', username: '1006', realm: DOMAIN, expires: '0' });
    phone.close();
  });

  test('a wrong password and an unknown user get 403', async () => {
    for (const [username, password] of [
      ['1005', 'wrong'],
      ['9999', PASSWORD],
    ] as const) {
      const phone = await nodeUnderTest().node.openPhone({ username, domain: DOMAIN, password, behaviour: {} });
      expect(await phone.register()).toBe(403);
      phone.close();
    }
  });
};

/** A real node writes its list a moment later than it tells the event. */
function listed(client: { send(c: string): Promise<{ body: string }> }, user: string): Promise<Record<string, string>> {
  return until(`${user} is listed`, async () => {
    const answer = JSON.parse((await client.send('api show registrations as json')).body) as {
      rows?: Record<string, string>[];
    };
    return answer.rows?.find((r) => r.reg_user === user);
  });
}
