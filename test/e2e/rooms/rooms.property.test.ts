/** Thousands of random steps in many rooms, against a model: what the API shows and what the nodes have is what was done. */
import { createSeededRandom } from '../../../src/infra/random';
import { useStores } from '../../stores';
import { DOMAIN, startApp, until, type Node, type App } from '../harness';
import type { DialledCall } from '../../../scripts/simulator/channels/dialling';
import type { SimulatedPhone } from '../../../scripts/simulator/node';

/** A full run is 200 rooms and 10,000 steps; every build runs a shorter one. */
const ROOMS = Number(process.env.ROOM_COUNT ?? 24);
const STEPS = Number(process.env.ROOM_STEPS ?? 400);
const SEED = Number(process.env.ROOM_SEED ?? 20261121);
const USERS = 12;
const WORKERS = 8;
const LAYOUTS = ['2x2', '3x3', '1x1', 'group:grid'];

let app: App;
const stores = useStores();
const nodes: Node[] = [];
const phones: SimulatedPhone[] = [];

beforeAll(async () => {
  app = await startApp(stores);
  for (const name of ['one', 'two', 'three']) nodes.push(await app.addNode(name, { capacity: 100_000 }));
  for (let i = 0; i < USERS; i += 1) phones.push(await app.addPhone(nodes[i % nodes.length]!, `u${i}`));
});
afterAll(() => app?.close());

interface Person {
  muted: boolean;
  deaf: boolean;
  call?: DialledCall;
}

interface Model {
  id: string;
  name: string;
  locked: boolean;
  layout: string | null;
  /** Everybody who was in since the room was last empty; those with a call are in. */
  people: Map<number, Person>;
  trail: string[];
}

const inside = (room: Model): [number, Person][] => [...room.people].filter(([, p]) => p.call !== undefined);

async function show(room: Model) {
  const { body } = await app.api('GET', `/v1/rooms/${room.id}/participants`);
  const items = (body.items ?? []).filter((p: { state: string }) => p.state === 'in' || p.state === 'joining');
  return { session: body.session, items } as {
    session: { layout: { desired: string | null }; locked: { desired: boolean; observed: boolean } } | null;
    items: { id: string; identity: string; state: string; observed: { muted: boolean; deaf: boolean } }[];
  };
}

function shapeOf(room: Model): string {
  const people = inside(room).map(([user, p]) => `user:u${user} muted=${p.muted} deaf=${p.deaf}`);
  return JSON.stringify({ people: people.sort(), locked: people.length > 0 && room.locked });
}

async function matches(room: Model): Promise<void> {
  let seen = '';
  await until(
    () =>
      `${room.name} is as the model has it\n model ${shapeOf(room)}\n API   ${seen}\n ${room.trail.slice(-12).join('; ')}`,
    async () => {
      const { session, items } = await show(room);
      const people = items.map((p) => `${p.identity} muted=${p.observed.muted} deaf=${p.observed.deaf}`).sort();
      seen = JSON.stringify({ people, locked: people.length > 0 && session?.locked.observed === true });
      return seen === shapeOf(room);
    },
    180_000,
  );
}

async function participantOf(room: Model, user: number): Promise<string> {
  const found = (await show(room)).items.find((p) => p.identity === `user:u${user}`);
  if (!found) throw new Error(`u${user} is not in ${room.name}: ${room.trail.slice(-12).join('; ')}`);
  return found.id;
}

async function leave(room: Model, user: number): Promise<void> {
  room.people.get(user)!.call = undefined;
  if (inside(room).length > 0) return;
  await until(`the session of ${room.name} is over`, async () => {
    const { body } = await app.api('GET', `/v1/rooms/${room.id}/sessions?limit=1`);
    return body.items[0]?.state === 'ended';
  });
  Object.assign(room, { locked: false, layout: null });
  room.people.clear();
}

async function must(status: number, method: string, path: string, body?: unknown): Promise<void> {
  const answer = await app.api(method, path, body);
  if (answer.status !== status) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
}

async function step(room: Model, random: () => number): Promise<void> {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const present = inside(room);
  const path = `/v1/rooms/${room.id}`;
  const kind = random();
  if (present.length === 0 || kind < 0.3) {
    const user = Math.floor(random() * USERS);
    if (room.people.get(user)?.call) return;
    room.trail.push(`u${user} dials`);
    const call = phones[user]!.dial(room.name);
    const answered = await call.answered;
    if (answered === room.locked)
      throw new Error(
        `u${user} dials ${room.name}: ${answered ? 'in' : await call.ended}\n ${room.trail.slice(-12).join('; ')}\n` +
          app.lines
            .filter((line) => /"level":[456]0/.test(line))
            .slice(-5)
            .join(''),
      );
    if (answered) room.people.set(user, { ...(room.people.get(user) ?? { muted: false, deaf: false }), call });
  } else if (kind < 0.5) {
    const [user, person] = pick(present);
    room.trail.push(`u${user} hangs up`);
    person.call!.hangup();
    await leave(room, user);
  } else if (kind < 0.56) {
    const [user] = pick(present);
    room.trail.push(`u${user} is removed`);
    await must(204, 'DELETE', `${path}/participants/${await participantOf(room, user)}`);
    await leave(room, user);
  } else if (kind < 0.8) {
    const [user, person] = pick(present);
    const change = random() < 0.6 ? { muted: random() < 0.5 } : { deaf: random() < 0.5 };
    room.trail.push(`u${user} ${JSON.stringify(change)}`);
    await must(200, 'PATCH', `${path}/participants/${await participantOf(room, user)}`, change);
    Object.assign(person, change);
  } else if (kind < 0.87) {
    room.locked = random() < 0.5;
    room.trail.push(`locked ${room.locked}`);
    await must(200, 'PUT', `${path}/lock`, { locked: room.locked });
  } else if (kind < 0.95) {
    room.layout = pick(LAYOUTS);
    room.trail.push(`layout ${room.layout}`);
    await must(200, 'PUT', `${path}/layout`, { layout: room.layout });
  } else {
    room.trail.push('mute all');
    await must(200, 'POST', `${path}/mute-all`, {});
    for (const [, person] of present) person.muted = true;
  }
  await matches(room);
}

test(
  `${STEPS} random steps in ${ROOMS} rooms leave what the model says (seed ${SEED})`,
  async () => {
    const rooms: Model[] = [];
    for (let i = 0; i < ROOMS; i += 1) {
      const name = `m${i}`;
      const { body } = await app.api('POST', '/v1/rooms', { domain: DOMAIN, name });
      rooms.push({ id: body.id, name, locked: false, layout: null, people: new Map(), trail: [] });
    }
    const perWorker = Math.ceil(STEPS / WORKERS);
    await Promise.all(
      Array.from({ length: WORKERS }, async (_, worker) => {
        const own = createSeededRandom(SEED + worker + 1);
        const mine = rooms.filter((_room, i) => i % WORKERS === worker);
        for (let i = 0; i < perWorker; i += 1) await step(mine[Math.floor(own() * mine.length)]!, own);
      }),
    );
    for (const room of rooms) await matches(room);
    const expected = rooms.reduce((sum, room) => sum + inside(room).length, 0);
    const onNodes = () => nodes.flatMap((node) => node.rooms());
    await until('the nodes have the same rooms and no others', () => {
      const held = onNodes();
      const members = held.reduce((sum, room) => sum + room.channelIds.length, 0);
      return members === expected && held.length === rooms.filter((room) => inside(room).length > 0).length;
    });
    expect(new Set(onNodes().map((room) => room.name)).size).toBe(onNodes().length);
    for (const room of rooms) for (const [, person] of inside(room)) person.call!.hangup();
    await until(
      'nothing is left',
      async () => {
        const { body } = await app.api('GET', '/v1/calls?limit=200');
        const live = body.items.filter((c: { state: string }) => c.state !== 'ended');
        return onNodes().length === 0 && live.length === 0;
      },
      120_000,
    );
    let claimed: number[] = [];
    await until(
      () => `no capacity is claimed any more: ${claimed.join(', ')}`,
      async () => {
        const { body } = await app.api('GET', '/v1/nodes');
        claimed = body.items.map((node: { claimedUnits: number }) => node.claimedUnits);
        return claimed.every((units) => units === 0);
      },
    );
  },
  600_000 + STEPS * 300,
);

test('20 who listen and speak are in one room, and the API shows each of them', async () => {
  const { body } = await app.api('POST', '/v1/rooms', { domain: DOMAIN, name: 'ward', audioOnly: true });
  const guests = Array.from({ length: 20 }, (_, i) => phones[i % USERS]!);
  const calls = guests.map((phone) => phone.dial('ward'));
  expect(await Promise.all(calls.map((call) => call.answered))).toEqual(calls.map(() => true));
  const room: Model = { id: body.id, name: 'ward', locked: false, layout: null, people: new Map(), trail: [] };
  await until('all are in', async () => (await show(room)).items.filter((p) => p.state === 'in').length === 20);
  for (const call of calls) call.hangup();
  await until('all are out', async () => (await show(room)).items.length === 0);
});
