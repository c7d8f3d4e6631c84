/** A colleague's number reaches the colleague, however it is written, over REST and from a phone; nobody shares one. */
import type { SimulatedPhone } from '../../../scripts/simulator/node';
import { useStores } from '../../stores';
import { DOMAIN, startApp, until, type Answer, type Node, type App } from '../harness';

const stores = useStores();
let app: App;
let node: Node;
let ann: SimulatedPhone;
let bertId: string;
beforeAll(async () => {
  app = await startApp(stores);
  node = await app.addNode('one');
  ann = await app.addPhone(node, 'ann');
  bertId = await app.addUser('bert');
  await app.addPhone(node, 'bert');
  await app.must(200, 'PATCH', `/v1/users/${bertId}`, { callerNumber: '+49 (0)30 12345' });
});
afterAll(() => app.close());

const makeCall = (to: string, from = 'user:ann'): Promise<Answer> =>
  app.api('POST', '/v1/calls', { domain: DOMAIN, from, to });
const makeUser = (username: string, more: object = {}): Promise<Answer> =>
  app.api('POST', '/v1/users', { domain: DOMAIN, username, ...more });

const WAYS = [
  'bert',
  'user:bert',
  'sip:bert@clinic.test',
  'SIP:bert@Clinic.Test',
  'sips:bert@clinic.test:5061;transport=tls',
  '<sip:bert@clinic.test>',
  'bert@clinic.test',
  '+493012345',
  '+49 30 12345',
  '+49 (0)30 12345',
  '+49-30-123-45',
  'tel:+493012345',
  'tel:+49-30-12345',
  'sip:+493012345@clinic.test;user=phone',
  'sip:%2B493012345@clinic.test',
  '+493012345@clinic.test',
];

test('a number is kept as E.164, whatever way it was written', async () => {
  const { callerNumber } = await app.must(200, 'GET', `/v1/users/${bertId}`);
  expect(callerNumber).toBe('+493012345');
});

test.each(WAYS)('over REST %s is Bert, as the one who is called and as the one who is rung first', async (written) => {
  const to = await makeCall(written);
  expect(to).toMatchObject({ status: 201, body: { to: 'user:bert' } });
  await app.callIs(to.body.id, 'answered');
  await app.hangUp(to.body.id);
  await app.callIs(to.body.id, 'ended');
  const from = await makeCall('9196', written);
  expect(from).toMatchObject({ status: 201, body: { from: 'user:bert' } });
  await app.hangUp(from.body.id);
  await app.callIs(from.body.id, 'ended');
});

test.each([
  'bert',
  '+493012345',
  '%2B493012345',
  '+49-30-12345',
  '+49%2030%2012345',
  '+493012345;phone-context=clinic.test',
])('a phone that dials %s rings Bert', async (dialled) => {
  const call = ann.dial(dialled);
  expect(await call.answered).toBe(true);
  call.hangup();
  await call.ended;
  const [last] = (await app.must(200, 'GET', '/v1/calls?limit=1')).items;
  expect(last).toMatchObject({ from: 'user:ann', to: 'user:bert', origin: 'phone' });
});

test('a call is transferred to a number', async () => {
  await app.addPhone(node, 'carl');
  const { id } = (await makeCall('user:carl')).body;
  await app.callIs(id, 'answered');
  await app.must(200, 'POST', `/v1/calls/${id}/transfer`, { to: '+49 30 12345' });
  await until('Bert has it', async () => (await app.readCall(id)).to === 'user:bert');
  await app.hangUp(id);
  await app.callIs(id, 'ended');
});

test('what is nobody here is said to be that', async () => {
  expect(await makeCall('sip:bert@elsewhere.test')).toMatchObject({
    status: 422,
    body: { detail: expect.stringMatching(/^Can't reach sip:bert@elsewhere.test/) },
  });
  expect(await makeCall('+49 30 99999')).toMatchObject({
    status: 422,
    body: { detail: expect.stringMatching(/^Can't reach tel:\+493099999: no user has this number/) },
  });
  expect((await makeCall('4712')).body.detail).toBe('There is no user "4712" in clinic.test.');
  for (const wrong of [
    'bert at clinic',
    'tel:bert',
    'sip:@clinic.test',
    '+49 30 12345 ext 7',
    '${x}@clinic.test',
    'a@b@c',
  ])
    expect([wrong, (await makeCall(wrong)).body.code]).toEqual([wrong, 'invalid_address']);
  expect(await ann.dial('+493099999').ended).toBe('UNALLOCATED_NUMBER');
});

test("the country of a domain makes its people's digits numbers, and extensions stay extensions", async () => {
  await app.must(200, 'PATCH', `/v1/domains/${DOMAIN}`, { country: 'DE' });
  await makeUser('4711');
  // The country is looked up anew after a second.
  await until('its digits are read so', async () => (await makeCall('030 12345')).body.to === 'user:bert');
  for (const written of ['0049 30 12345', '03012345', '(030) 123-45'])
    expect([written, (await makeCall(written)).body.to]).toEqual([written, 'user:bert']);
  expect((await makeCall('4711')).body.to).toBe('user:4711');
  const call = ann.dial('03012345');
  expect(await call.answered).toBe(true);
  call.hangup();
  const made = await makeUser('national', { callerNumber: '030 / 77 88 99' });
  expect(made.body.callerNumber).toBe('+4930778899');
  await app.must(200, 'PATCH', `/v1/domains/${DOMAIN}`, { country: null });
  const wrong = await app.api('PATCH', `/v1/domains/${DOMAIN}`, { country: 'Germany' });
  expect(wrong.body.errors).toEqual([{ path: 'country', message: expect.stringContaining('ISO 3166') }]);
});

test('a number belongs to one user, and what else is dialled by it is refused with who has it', async () => {
  const conflict = (who: string) => ({
    status: 409,
    body: { code: 'conflict', detail: expect.stringContaining(who) },
  });
  expect(await makeUser('dora', { callerNumber: 'tel:+49-30-12345' })).toMatchObject(conflict('the user "bert"'));
  const dora = await makeUser('dora', { callerNumber: '47 99' });
  expect(dora).toMatchObject({ status: 201, body: { callerNumber: '4799' } });
  const path = `/v1/users/${dora.body.id}`;
  expect(await app.api('PATCH', path, { callerNumber: '+493012345' })).toMatchObject(conflict('the user "bert"'));
  expect(await app.api('PATCH', path, { callerNumber: '9196' })).toMatchObject(conflict('the echo'));
  expect(await makeUser('4799')).toMatchObject(conflict('the number of the user "dora"'));
  const room = (name: string) => app.api('POST', '/v1/rooms', { domain: DOMAIN, name });
  expect(await room('4799')).toMatchObject(conflict('the number of the user "dora"'));
  await app.must(201, 'POST', '/v1/rooms', { domain: DOMAIN, name: '5000' });
  expect(await app.api('PATCH', path, { callerNumber: '5000' })).toMatchObject(conflict('the room "5000"'));
  await makeUser('4800');
  expect(await app.api('PATCH', path, { callerNumber: '4800' })).toMatchObject(conflict('the user "4800"'));
  expect((await app.must(200, 'GET', path)).callerNumber).toBe('4799');
  expect((await makeCall('4799')).body.to).toBe('user:dora');
  // Its own name, the number it has, and one that is free again are no conflict.
  await app.must(200, 'PATCH', path, { callerNumber: '4799' });
  await app.must(200, 'PATCH', path, { callerNumber: null });
  expect(await makeUser('eve', { callerNumber: '4799' })).toMatchObject({ status: 201 });
  expect(await makeUser('4801', { callerNumber: '4801' })).toMatchObject({ status: 201 });
});

test("nobody takes a colleague's number by a name that is written like it, as people of the country dial it or with hyphens", async () => {
  await app.must(200, 'PATCH', `/v1/domains/${DOMAIN}`, { country: 'DE' });
  await makeUser('gina', { callerNumber: '+49 30 900900' });
  await makeUser('hans', { callerNumber: '4790' });
  for (const name of ['030900900', '0049-30-900900', '030.900.900', '47-90', '4.7.9.0']) {
    const room = await app.api('POST', '/v1/rooms', { domain: DOMAIN, name });
    expect([name, (await makeUser(name)).status, room.status]).toEqual([name, 409, 409]);
  }
  await makeUser('030-901901');
  await app.must(201, 'POST', '/v1/rooms', { domain: DOMAIN, name: '48-90' });
  const other = await makeUser('ines', { callerNumber: '+4930901901' });
  expect(other).toMatchObject({ status: 409, body: { detail: expect.stringContaining('the user "030-901901"') } });
  expect((await makeUser('ines', { callerNumber: '48 90' })).body.detail).toContain('the room "48-90"');
  expect(await makeUser('030-902902', { callerNumber: '+4930902902' })).toMatchObject({ status: 201 });
  await app.must(200, 'PATCH', `/v1/domains/${DOMAIN}`, { country: null });
});

test('of many who ask for one number at once one gets it', async () => {
  const names = ['race-a', 'race-b', 'race-c', 'race-d'];
  const ids = await Promise.all(names.map((name) => app.addUser(name)));
  const said = await Promise.all([
    ...ids.map((id) => app.api('PATCH', `/v1/users/${id}`, { callerNumber: '+44 20 7946 0958' })),
    makeUser('race-e', { callerNumber: '+442079460958' }),
  ]);
  expect(said.map(({ status }) => (status < 300 ? 'taken' : status)).sort()).toEqual([409, 409, 409, 409, 'taken']);
});

test('a number that several had before is shown on, and its users can still be changed', async () => {
  const ids = await Promise.all(['old-a', 'old-b'].map((name) => app.addUser(name)));
  // As the release before wrote them, and as migration 035 leaves them.
  await stores.db('users').whereIn('id', ids).update({ caller_number: '+4940777', dial_number: null });
  expect(await makeCall('+4940777')).toMatchObject({ status: 422 });
  const path = `/v1/users/${ids[0]}`;
  expect(await app.must(200, 'PATCH', path, { displayName: 'Old', callerNumber: '+49 40 777' })).toMatchObject({
    displayName: 'Old',
    callerNumber: '+4940777',
  });
});

test.each(['', '+', 'bert', '+49abc', '+1234567890123456', '+49 30 12345 x7', '1'.repeat(33)])(
  'the number %j is refused',
  async (callerNumber) => {
    const said = await app.api('PATCH', `/v1/users/${bertId}`, { callerNumber });
    expect(said).toMatchObject({ status: 400, body: { errors: [{ path: 'callerNumber' }] } });
  },
);

test('a number that is taken away leads nowhere, and to whom it is given next', async () => {
  const [first, second] = await Promise.all(['first', 'second'].map((name) => app.addUser(name)));
  await app.must(200, 'PATCH', `/v1/users/${first}`, { callerNumber: '6000' });
  expect((await makeCall('6000')).body.to).toBe('user:first');
  await app.must(200, 'PATCH', `/v1/users/${first}`, { callerNumber: null });
  await app.must(200, 'PATCH', `/v1/users/${second}`, { callerNumber: '6000' });
  await until('the second is called by it', async () => (await makeCall('6000')).body.to === 'user:second');
});
