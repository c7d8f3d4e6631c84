/** Holds images of rooms to what their users see over REST, with simulated nodes that fetch them or can not. */
import { existsSync, readFileSync } from 'node:fs';
import { crc32, deflateSync } from 'node:zlib';
import { useStores } from '../../stores';
import { ADMIN_KEY, DOMAIN, startApp, until, type Node, type App } from '../harness';

let app: App;
afterAll(() => app?.close());
const stores = useStores();
let node: Node;
let roomId: string;

beforeAll(async () => {
  app = await startApp(stores);
  node = await app.addNode('one');
  await app.addPhone(node, 'ann', { answerAfterMs: 20, video: true });
  await app.addPhone(node, 'ben', { answerAfterMs: 20, video: true });
  roomId = (await app.api('POST', '/v1/rooms', { domain: DOMAIN, name: 'daily' })).body.id;
});

function draw(shade: number): Buffer {
  const chunk = (type: string, data: Buffer): Buffer => {
    const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    sum.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, sum]);
  };
  const header = Buffer.from([0, 0, 0, 32, 0, 0, 0, 16, 8, 0, 0, 0, 0]);
  const rows = Buffer.concat(Array<Buffer>(16).fill(Buffer.concat([Buffer.from([0]), Buffer.alloc(32, shade)])));
  return Buffer.concat([
    Buffer.from('89504e470d0a1a0a', 'hex'),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

async function send(method: string, kind: string, body?: Buffer, o: { type?: string; key?: string } = {}) {
  const response = await fetch(`${app.url}/v1/rooms/${roomId}/images/${kind}`, {
    method,
    headers: {
      authorization: `Bearer ${o.key ?? ADMIN_KEY}`,
      ...(body ? { 'content-type': o.type ?? 'image/png' } : {}),
    },
    body: body ? new Uint8Array(body) : undefined,
    signal: AbortSignal.timeout(60_000),
  });
  const bytes = Buffer.from(await response.arrayBuffer());
  const isJson = response.headers.get('content-type')?.includes('json');
  return { status: response.status, bytes, body: isJson ? JSON.parse(bytes.toString()) : undefined };
}

interface Placed {
  kind: string;
  path: string;
  image_id: string | null;
  fault: string | null;
}
const placed = async (): Promise<Placed[]> => stores.db('session_images').orderBy('kind');
const enter = async (user: string): Promise<string> => {
  const { id } = await app.call(`user:${user}`, 'room:daily');
  await app.callIs(id, 'answered');
  return id;
};
const leave = async (callId: string): Promise<void> => {
  await app.hangUp(callId);
  await app.callIs(callId, 'ended');
};

test('an image is kept as it came, stands in the room, and is told without its bytes', async () => {
  const image = draw(100);
  const put = await send('PUT', 'background', image);
  expect(put).toMatchObject({
    status: 200,
    body: { contentType: 'image/png', width: 32, height: 16, updatedAt: expect.any(String), pending: [] },
  });
  const got = await send('GET', 'background');
  expect([got.status, got.bytes.equals(image)]).toEqual([200, true]);
  const room = (await app.api('GET', `/v1/rooms/${roomId}`)).body;
  const { pending: _none, ...shown } = put.body;
  expect(room.background).toEqual({ color: '#1b2430', image: shown });
  expect(room.welcome).toEqual({ image: null });
  const events = (await app.api('GET', `/v1/events?format=json&domain=${DOMAIN}&types=room.updated`)).body.items;
  expect(events.at(-1).data).toMatchObject({ changed: ['background.image'], room: { background: room.background } });
});

test.each<[string, Buffer, { type?: string; key?: string }, number, string]>([
  ['a JPEG', draw(1), { type: 'image/jpeg' }, 415, 'unsupported_media_type'],
  ['JSON', Buffer.from('{}'), { type: 'application/json' }, 415, 'unsupported_media_type'],
  ['half an image', draw(1).subarray(0, 50), {}, 422, 'unprocessable'],
  ['nothing', Buffer.alloc(0), {}, 400, 'invalid_request'],
  ['more than 2 MB', Buffer.alloc(2_000_001), {}, 413, 'payload_too_large'],
  ['an image with a wrong key', draw(1), { key: 'sk_wrong_key_of_somebody_else' }, 401, 'unauthorized'],
])('%s is refused, and the old image stays', async (_what, body, o, status, code) => {
  const before = (await send('GET', 'background')).bytes;
  expect(await send('PUT', 'background', body, o)).toMatchObject({ status, body: { code } });
  expect((await send('GET', 'background')).bytes.equals(before)).toBe(true);
});

test('a file of another type is told which one to send', async () => {
  expect((await send('PUT', 'background', draw(1), { type: 'image/jpeg' })).body.fix).toBe(
    'Send "Content-Type: image/png".',
  );
});

test('a key of another domain sees no image; a kind that is none is not there', async () => {
  await app.api('POST', '/v1/domains', { name: 'other.test' });
  const { key } = (await app.api('POST', '/v1/api-keys', { name: 'other', scope: 'domain', domain: 'other.test' }))
    .body;
  for (const method of ['GET', 'PUT', 'DELETE']) {
    const answer = await send(method, 'background', method === 'PUT' ? draw(1) : undefined, { key });
    expect(answer).toMatchObject({ status: 404, body: { code: 'not_found' } });
  }
  expect(await send('GET', 'poster')).toMatchObject({
    status: 404,
    body: { detail: '{kind} in the path must be one of background, welcome.' },
  });
});

test('the door for nodes opens with a token for that image, and with nothing else', async () => {
  const { id } = await stores.db('room_images').first();
  for (const query of ['', '?token=', '?token=e30.e30', `?token=${ADMIN_KEY}`]) {
    const answer = await fetch(`${app.url}/freeswitch/images/${id}${query}`, {
      signal: AbortSignal.timeout(60_000),
    });
    expect([answer.status, await answer.text()]).toEqual([401, expect.stringContaining('unauthorized')]);
  }
});

test('the node of a session fetches it, gets the next one in its place, and keeps nothing after the end', async () => {
  const ann = await enter('ann');
  const [first] = await until('the image is there', async () => {
    const rows = await placed();
    return rows[0]?.image_id ? rows : undefined;
  });
  expect(readFileSync(first!.path).equals(draw(100))).toBe(true);
  expect((await send('PUT', 'background', draw(7))).body.pending).toEqual([]);
  expect(readFileSync(first!.path).equals(draw(7))).toBe(true);
  await send('PUT', 'welcome', draw(9));
  await until('the welcome is shown', async () =>
    stores.db('session_images').where({ kind: 'welcome' }).whereNot('shown', 'hidden').first(),
  );
  const ben = await enter('ben');
  await until('the welcome is over', () =>
    stores.db('session_images').where({ kind: 'welcome', shown: 'hidden' }).first(),
  );
  expect((await send('DELETE', 'welcome')).status).toBe(204);
  expect((await send('DELETE', 'welcome')).status).toBe(404);
  await leave(ben);
  await leave(ann);
  await until('nothing is left', async () => ((await placed()).length === 0 ? true : undefined));
  expect(existsSync(first!.path)).toBe(false);
});

test('a node that can fetch nothing leaves the room as it is: the answer and the event say so', async () => {
  node.faults.removeCurl();
  const ann = await enter('ann');
  const put = await send('PUT', 'background', draw(33));
  expect(put).toMatchObject({ status: 200, body: { pending: ['background.image'] } });
  const given = await until('it is given up', async () => {
    // Only the last try is waited for; one that is just under way may write its own number over ours.
    await stores
      .db('session_images')
      .where('tries', '<', 4)
      .update({ tries: 4, next_try_at: new Date(0) });
    const { items } = (await app.api('GET', `/v1/events?format=json&domain=${DOMAIN}&types=session.change_failed`))
      .body;
    return items.find((e: { data: { what: string } }) => e.data.what === 'background.image');
  });
  expect(given).toMatchObject({ roomId, data: { tries: 5, seen: expect.stringContaining('could not fetch') } });
  expect((await app.readCall(ann)).state).toBe('answered');
  expect(app.lines.join('')).not.toContain('token=');
  await leave(ann);
});
