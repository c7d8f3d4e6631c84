/** Guessing the PIN of a room: a caller gets six tries, all callers together thirty, and who belongs there gets in. */
import { randomUUID } from 'node:crypto';
import { useStores } from '../../stores';
import { DOMAIN, startApp, until, type Answer, type Node, type App } from '../harness';
import { loginQuestion } from '../login-question';

const stores = useStores();
let app: App;
let nodes: [Node, Node];
beforeAll(async () => {
  app = await startApp(stores);
  nodes = [await app.addNode('one'), await app.addNode('two')];
});
afterAll(() => app?.close());

interface Room {
  id: string;
  name: string;
}
let made = 0;
async function makeRoom(settings: Record<string, unknown>): Promise<Room> {
  const name = `guarded-${(made += 1)}`;
  return { name, id: (await app.must(201, 'POST', '/v1/rooms', { domain: DOMAIN, name, ...settings })).id };
}
async function addUsers(count: number, name: string): Promise<string[]> {
  const names = Array.from({ length: count }, (_, i) => `${name}-${i}`);
  await Promise.all(names.map((username) => app.addUser(username)));
  return names;
}

/** What a call comes to that has pressed this much, asked by its node as it goes. */
type Step = 'asked' | 'in' | 'refused';
class Caller {
  readonly #leg = randomUUID();
  #tries = 0;
  #isLoggedIn = false;
  constructor(
    readonly username: string,
    readonly room: Room,
    readonly node: Node = nodes[0],
  ) {}

  async press(pin: string): Promise<Step> {
    this.#tries += 1;
    return this.repeat(pin);
  }
  /** The same question once more: its node got no answer in time. */
  repeat = (pin: string): Promise<Step> =>
    this.#ask({ variable_switchyard_pin: pin, variable_switchyard_pin_tries: String(this.#tries) });
  dial = (): Promise<Step> => this.#ask({});

  async #ask(more: Record<string, string>): Promise<Step> {
    if (!this.#isLoggedIn) await app.askXml(this.node, loginQuestion({ username: this.username }));
    this.#isLoggedIn = true;
    const { text } = await app.askXml(this.node, {
      section: 'dialplan',
      'Unique-ID': this.#leg,
      'Core-UUID': this.node.coreUuid,
      'Caller-Context': 'users',
      'Caller-Destination-Number': this.room.name,
      'Call-Direction': 'inbound',
      variable_sip_authorized: 'true',
      variable_user_name: this.username,
      variable_domain_name: DOMAIN,
      variable_sofia_profile_name: 'internal',
      ...more,
    });
    if (text.includes('play_and_get_digits')) return 'asked';
    return /@room|sofia\/internode/.test(text) ? 'in' : 'refused';
  }
}
const enter = (username: string, room: Room, pin: string): Promise<Step> => new Caller(username, room).press(pin);
/** One call with three wrong PINs. */
async function guess(caller: Caller): Promise<Step[]> {
  const steps = [await caller.dial()];
  for (const pin of ['1', '22', '333']) steps.push(await caller.press(pin));
  return steps;
}

const refusals = async (room: Room): Promise<string[]> => {
  const query = `format=json&limit=1000&domain=${DOMAIN}&roomId=${room.id}&types=participant.refused`;
  return (await app.must(200, 'GET', `/v1/events?${query}`)).items.map((e: Answer['body']) => e.data.reason);
};
/** How many PINs were compared and wrong, of all rooms. */
async function comparedWrong(): Promise<number> {
  const text = await (await fetch(`${app.operationsUrl}/metrics`)).text();
  return Number(/login_failures_total\{kind="pin"\} (\d+)/.exec(text)?.[1] ?? 0);
}
const bansOf = async (kind: string, room: Room): Promise<Answer['body'][]> =>
  (await app.must(200, 'GET', `/v1/bans?kind=${kind}&limit=200`)).items.filter(
    (ban: Answer['body']) => ban.roomId === room.id,
  );

test('after two calls with three wrong PINs a caller is refused at every node, with the right one too; others are not', async () => {
  const room = await makeRoom({ pin: '4711' });
  const [guesser, guest] = (await addUsers(2, 'caller')) as [string, string];
  expect(await guess(new Caller(guesser, room))).toEqual(['asked', 'asked', 'asked', 'refused']);
  expect(await guess(new Caller(guesser, room, nodes[1]))).toEqual(['asked', 'asked', 'asked', 'refused']);
  expect(await new Caller(guesser, room, nodes[1]).dial()).toBe('refused');
  expect(await enter(guesser, room, '4711')).toBe('refused');
  expect(await refusals(room)).toEqual(['wrong_pin', ...Array<string>(3).fill('too_many_pins')]);
  expect(await enter(guest, room, '4711')).toBe('in');
  const [ban] = await bansOf('pin', room);
  const expected = { door: 'room', identity: `user:${guesser}`, reason: 'wrong_pins', failures: 6, level: 1 };
  expect(ban).toMatchObject(expected);
  const query = `format=json&domain=${DOMAIN}&roomId=${room.id}&types=ban.started`;
  const { items } = await app.must(200, 'GET', `/v1/events?${query}`);
  expect(items.map((event: Answer['body']) => event.data.ban.id)).toEqual([ban.id]);

  await app.must(204, 'DELETE', `/v1/bans/${ban.id}`);
  // What was counted outlives the ban's beginning by seconds, so that no replica compares before it knows.
  await until('they come in', async () => (await enter(guesser, room, '4711')) === 'in');
});

test('forty calls of one caller at once, over two nodes, have six PINs compared, and the right one is not among them after', async () => {
  const room = await makeRoom({ pin: '4711' });
  const [parallel, guest] = (await addUsers(2, 'parallel')) as [string, string];
  const pinsBefore = await comparedWrong();
  const calls = Array.from({ length: 40 }, (_, i) => new Caller(parallel, room, nodes[(i % 2) as 0 | 1]));
  await Promise.all(calls.map((call, i) => call.press(String(1000 + i))));
  expect((await comparedWrong()) - pinsBefore).toBe(6);
  expect(await bansOf('pin', room)).toMatchObject([{ failures: 6 }]);
  expect(await Promise.all(nodes.map((node) => new Caller(parallel, room, node).press('4711')))).toEqual([
    'refused',
    'refused',
  ]);
  expect(await enter(guest, room, '4711')).toBe('in');
});

test('right PINs count for nothing: a caller comes in ten times in an hour', async () => {
  const room = await makeRoom({ pin: '4711' });
  const [often] = (await addUsers(1, 'often')) as [string];
  for (let i = 0; i < 10; i += 1) expect(await enter(often, room, '4711')).toBe('in');
});

test('a node that asks ten times about the same PIN has tried it once', async () => {
  const room = await makeRoom({ pin: '4711' });
  const [slow] = (await addUsers(1, 'slow')) as [string];
  const caller = new Caller(slow, room);
  await caller.press('1');
  for (let i = 0; i < 10; i += 1) expect(await caller.repeat('1')).toBe('asked');
  expect(await bansOf('pin', room)).toEqual([]);
});

test('when many try, the room asks no stranger: who was in before and who has a grant come in', async () => {
  const room = await makeRoom({ pin: '4711' });
  const [known, late, ...crowd] = (await addUsers(12, 'crowd')) as [string, string, ...string[]];
  expect(await enter(known, room, '4711')).toBe('in');
  await Promise.all(crowd.map((username) => guess(new Caller(username, room))));
  const [ban] = await until('the room asks for no PIN', async () => {
    const found = await bansOf('room_pin', room);
    return found.length > 0 ? found : undefined;
  });
  expect(ban).toMatchObject({ identity: null, failures: 30, level: 1 });
  expect(await enter(late, room, '4711')).toBe('refused');
  expect(await enter(known, room, '4711')).toBe('in');
  const grant = await app.must(201, 'POST', `/v1/rooms/${room.id}/grants`, { identity: 'has-a-grant' });
  const { username, realm, ha1, target } = grant;
  const call = await nodes[0].addGuest({ username, realm, ha1 }).dial(target);
  expect(await call.answered).toBe(true);
  call.hangup();
});

test('a room that only moderators have a PIN for lets a guesser in as everybody, and takes no more PINs of them', async () => {
  const room = await makeRoom({ moderatorPin: '123456' });
  const [climber] = (await addUsers(1, 'climber')) as [string];
  await guess(new Caller(climber, room));
  await guess(new Caller(climber, room));
  expect(await enter(climber, room, '123456')).toBe('in');
  const { items } = await app.must(200, 'GET', `/v1/rooms/${room.id}/participants`);
  expect(items).toMatchObject([{ identity: `user:${climber}`, role: 'participant' }]);
});

test('nothing pressed is no wrong PIN', async () => {
  const room = await makeRoom({ pin: '4711' });
  const [shy] = (await addUsers(1, 'shy')) as [string];
  for (let i = 0; i < 4; i += 1) {
    const caller = new Caller(shy, room);
    for (let tries = 0; tries < 3; tries += 1) await caller.press('');
  }
  expect(await bansOf('pin', room)).toEqual([]);
  expect(await enter(shy, room, '4711')).toBe('in');
});

describe('who presses nothing', () => {
  const end = async (room: Room, username: string, digits: string[]): Promise<string[]> => {
    const phone = await app.addPhone(nodes[0], username);
    const call = phone.dial(room.name, { digits });
    await call.ended;
    return refusals(room);
  };

  test('has pressed no wrong PIN: three silent prompts end the call by a reason of their own, and count for no ban', async () => {
    const room = await makeRoom({ pin: '4711' });
    const before = await comparedWrong();
    expect(await end(room, 'silent-0', ['#', '#', '#', '4711#'])).toEqual(['no_pin']);
    expect(await comparedWrong()).toBe(before);
  });

  test('keeps their three tries: silence between them takes none away', async () => {
    const room = await makeRoom({ pin: '4711' });
    expect(await end(room, 'silent-1', ['#', '1#', '#', '22#', '333#', '4711#'])).toEqual(['wrong_pin']);
    const other = await makeRoom({ pin: '4711' });
    const phone = await app.addPhone(nodes[0], 'silent-2');
    const call = phone.dial(other.name, { digits: ['#', '1#', '#', '4711#'] });
    await until('they are in', async () => {
      const { items } = await app.must(200, 'GET', `/v1/rooms/${other.id}/participants`);
      return items.some(({ state }: { state: string }) => state === 'in');
    });
    call.hangup();
    await call.ended;
  });
});
