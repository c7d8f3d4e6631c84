/** What a node asks and tells when somebody logs in: by its question Switchyard knows by itself which password was wrong. */
import { provesPassword, type UserRequest } from '../../src/freeswitch/xml';
import { hashSipPassword } from '../../src/infra/secrets';
import { DOMAIN, ESL_PASSWORD, PASSWORD } from './peers/answerer';
import type { Contract } from './describe-node';
import { connectRaw, type RawClient, type RawEvent } from './peers/raw-client';

const TOLD = ['sofia::pre_register', 'sofia::register_attempt', 'sofia::register_failure'];

export const loginContract: Contract = (nodeUnderTest) => {
  let client: RawClient;
  beforeAll(async () => {
    client = await connectRaw(nodeUnderTest().node.eslPort);
    await client.send(`auth ${ESL_PASSWORD}`);
    await client.send(`event json CUSTOM ${TOLD.join(' ')}`);
  });
  afterAll(() => client?.close());

  /** One login, and what was asked and told of it. */
  async function login(username: string, password: string, last: string) {
    const { node, answerer } = nodeUnderTest();
    const asked = answerer.requests.length;
    const before = new Set(client.events);
    const phone = await node.openPhone({ username, domain: DOMAIN, password, behaviour: {} });
    // Of others, before it, a node may tell only now.
    const isOfIt = (event: RawEvent): boolean => event['to-user'] === username && !before.has(event);
    const told = client.waitFor((event) => isOfIt(event) && event['Event-Subclass'] === last);
    const status = await phone.register();
    await told;
    const questions = answerer.requests
      .slice(asked)
      .filter((request): request is UserRequest => request.kind === 'user' && request.purpose === 'sip_auth');
    if (status === 200) await phone.unregister(); // else calls of later tests ring it
    phone.close();
    return { status, questions, events: client.events.filter(isOfIt) };
  }
  const ha1 = (username: string): string => hashSipPassword(username, DOMAIN, PASSWORD);
  const subclasses = (events: RawEvent[]): (string | undefined)[] => events.map((event) => event['Event-Subclass']);

  test('a right password: one question that proves it, and no failure is told', async () => {
    const { status, questions, events } = await login('1007', PASSWORD, 'sofia::register_attempt');
    expect(status).toBe(200);
    expect(questions).toHaveLength(1);
    expect(questions[0]).toMatchObject({ networkIp: '127.0.0.1', networkPort: expect.any(Number) as number });
    expect(provesPassword(questions[0]!.proof!, ha1('1007'))).toBe(true);
    expect(subclasses(events)).toEqual(['sofia::pre_register', 'sofia::register_attempt']);
    expect(events[1]).toMatchObject({ username: '1007', realm: DOMAIN, 'auth-result': 'RENEWED' });
  });

  test('a wrong password: one question that proves nothing, told as a failure with the address', async () => {
    const { status, questions, events } = await login('1008', 'wrong', 'sofia::register_failure');
    expect(status).toBe(403);
    expect(questions).toHaveLength(1);
    expect(provesPassword(questions[0]!.proof!, ha1('1008'))).toBe(false);
    expect(subclasses(events)).toEqual(TOLD);
    expect(events[1]).toMatchObject({ username: '1008', realm: DOMAIN, 'auth-result': 'FORBIDDEN' });
    expect(events[2]).toMatchObject({
      'to-user': '1008',
      'to-host': DOMAIN,
      'network-ip': '127.0.0.1',
      'registration-type': 'REGISTER',
    });
  });

  test('an unknown user: "not found" is asked for twice, by the same proof', async () => {
    const { status, questions, events } = await login('9998', PASSWORD, 'sofia::register_failure');
    expect(status).toBe(403);
    expect(questions).toHaveLength(2);
    expect(questions[0]!.proof).toEqual(questions[1]!.proof);
    expect(subclasses(events)).toEqual(TOLD);
  });
};
