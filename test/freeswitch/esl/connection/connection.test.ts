/** The connection against a node that misbehaves in every way that was seen or can be imagined. */
import { findFreePort } from '../../../../scripts/stores/ports';
import {
  originateCall,
  showChannels,
  probe,
  type NodeConnection,
  type NodeEvent,
} from '../../../../src/freeswitch/esl';
import { apiFrame, commandReply, eventFrame, ScriptedNode, until } from '../scripted-node';

let node: ScriptedNode;
let open: NodeConnection[];
beforeEach(async () => {
  node = await new ScriptedNode().listen();
  open = [];
});
afterEach(async () => {
  for (const c of open) c.close();
  await node.close();
});

async function connect(): Promise<NodeConnection> {
  const c = await node.connect();
  open.push(c);
  return c;
}
/** Long enough for any machine: what is to fail by its deadline names one of its own. */
const soon = { timeoutMs: 60_000 };

describe('connecting', () => {
  test('names a wrong password', async () => {
    await expect(node.connect('wrong')).rejects.toMatchObject({ kind: 'auth_failed' });
  });

  test('names a refusal by access list', async () => {
    node.greeting = 'Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n';
    await expect(node.connect()).rejects.toMatchObject({ kind: 'acl_denied' });
  });

  test('names a closed port', async () => {
    await node.close();
    node = await new ScriptedNode().listen(await findFreePort()); // one that nobody is given when it is closed
    await node.close();
    await expect(node.connect()).rejects.toMatchObject({ kind: 'refused', code: 'node_unreachable' });
    node = await new ScriptedNode().listen();
  });

  test('gives up on a node that accepts and says nothing', async () => {
    node.greeting = '';
    await expect(node.connect('right', 60)).rejects.toMatchObject({ kind: 'timeout', code: 'node_timeout' });
  });

  test('names a node that hangs up before the login', async () => {
    node.greeting = '';
    const failed = expect(node.connect()).rejects.toMatchObject({ kind: 'lost' });
    await until(() => node.sockets.length === 1);
    node.socket.destroy();
    await failed;
  });

  test('refuses a password that would be two commands', async () => {
    await expect(node.connect('a\n\napi shutdown')).rejects.toMatchObject({ code: 'invalid_request' });
    expect(node.commands).toEqual([]);
  });
});

describe('answers', () => {
  test('come in order, for both kinds of reply, also after a denied command', async () => {
    node.answer = (command) =>
      command === 'api first' ? commandReply('-ERR permission denied') : apiFrame(command.replace('api ', ''));
    const c = await connect();
    const [a, b, s] = await Promise.all([
      c.api({ line: 'first' }, soon),
      c.api({ line: 'second' }, soon),
      c.subscribe(['HEARTBEAT'], ['sofia::register']),
      c.api({ line: 'third' }, soon),
    ]);
    expect(a).toEqual({ ok: false, cause: 'permission', text: 'permission denied' });
    expect(b).toEqual({ ok: true, text: 'second' });
    expect(s).toBeUndefined();
    expect(node.commands.at(-2)).toBe('event json HEARTBEAT CUSTOM sofia::register');
  });

  test('may hold a stray percent sign and any language', async () => {
    node.answer = (command) => (command === 'api a' ? commandReply('+OK 50%E9 Jos%') : apiFrame('+OK Zoë 🙂 %E9'));
    const c = await connect();
    expect(await c.api({ line: 'a' }, soon)).toEqual({ ok: true, text: '50%E9 Jos%' });
    expect(await c.api({ line: 'b' }, soon)).toEqual({ ok: true, text: 'Zoë 🙂 %E9' });
  });

  test('are read whole however they are cut', async () => {
    const c = await connect();
    const events: NodeEvent[] = [];
    c.onEvent((e) => events.push(e));
    const answered = c.api(showChannels(), soon);
    const beat = eventFrame({ 'Event-Name': 'HEARTBEAT', 'FreeSWITCH-Switchname': 'Zoë🙂', 'Session-Count': '3' });
    for (const byte of Buffer.from(beat + apiFrame('ä🙂') + beat)) {
      node.socket.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await answered).toEqual({ ok: true, text: 'ä🙂' });
    await until(() => events.length === 2);
    expect(events[1]).toMatchObject({ type: 'heartbeat', hostname: 'Zoë🙂', sessionCount: 3 });
  });

  test('leave in one write each', async () => {
    node.answer = () => apiFrame('+OK');
    const c = await connect();
    await c.api(probe(), soon);
    expect(node.reads.at(-1)).toBe('api echo alive\n\n');
  });

  test('never let a newline become a second command', async () => {
    const c = await connect();
    await expect(c.api({ line: 'x\n\napi shutdown' }, soon)).rejects.toMatchObject({ code: 'invalid_request' });
    await expect(c.bgapi({ line: 'x' }, { jobId: 'a\n\nb', ...soon })).rejects.toMatchObject({
      code: 'invalid_request',
    });
    await expect(c.subscribe(['A\nB'], [])).rejects.toMatchObject({ code: 'invalid_request' });
    expect(node.commands).toEqual(['auth right']);
  });

  test('that are late end the connection, and everybody behind learns it by name', async () => {
    const c = await connect();
    const lost: string[] = [];
    c.onClosed((reason) => lost.push(reason.kind));
    const late = expect(c.api({ line: 'slow token=secret' }, { timeoutMs: 50 })).rejects.toMatchObject({
      kind: 'timeout',
      sent: true,
      message: expect.not.stringContaining('secret'),
    });
    const behind = expect(c.api({ line: 'behind' }, soon)).rejects.toMatchObject({
      kind: 'lost',
      sent: true,
      message: expect.stringContaining('api behind'),
    });
    await Promise.all([late, behind]);
    expect(lost).toEqual(['timeout']);
    expect(c.isOpen).toBe(false);
    await until(() => node.socket.destroyed);
    await expect(c.api(probe(), soon)).rejects.toMatchObject({ kind: 'lost', sent: false });
  });

  test('that nobody asked for end the connection', async () => {
    const c = await connect();
    const reason = new Promise((resolve) => c.onClosed(resolve));
    node.socket.write(apiFrame('+OK'));
    expect(await reason).toMatchObject({ kind: 'bad_reply' });
  });
});

describe('the end', () => {
  test.each([
    ['a reset', (n: ScriptedNode) => void n.socket.resetAndDestroy()],
    ['a half-closed peer', (n: ScriptedNode) => void n.socket.end()],
    [
      'a notice',
      (n: ScriptedNode) => void n.socket.write('Content-Type: text/disconnect-notice\nContent-Length: 0\n\n'),
    ],
  ])('%s settles every waiter and is told once', async (_name, act) => {
    node.answer = (command) => (command.startsWith('bgapi') ? commandReply('+OK Job-UUID: j1') : undefined);
    const c = await connect();
    const told: unknown[] = [];
    c.onClosed((reason) => told.push(reason));
    const job = c.bgapi({ line: 'originate x' }, { jobId: 'j1', ...soon });
    const waits = [c.api({ line: 'one' }, soon), c.api({ line: 'two' }, soon), job];
    const settled = Promise.allSettled(waits);
    await until(() => node.commands.includes('api two') && node.commands.some((line) => line.startsWith('bgapi')));
    act(node);
    for (const result of await settled) expect(result).toMatchObject({ status: 'rejected', reason: { kind: 'lost' } });
    c.close();
    expect(told).toHaveLength(1);
    c.onClosed((reason) => told.push(reason));
    expect(told).toHaveLength(2);
  });

  test.each([
    ['a length that is none', 'Content-Length: -5\nContent-Type: text/event-json\n\n'],
    ['a head without an end', 'x'.repeat(40_000)],
  ])('comes with %s', async (_name, bytes) => {
    const c = await connect();
    const reason = new Promise((resolve) => c.onClosed(resolve));
    node.socket.write(bytes);
    expect(await reason).toMatchObject({ kind: 'bad_reply' });
  });
});

describe('events', () => {
  test('that are unreadable or unknown are left out, and listeners that throw harm nobody', async () => {
    const c = await connect();
    const seen: NodeEvent[] = [];
    c.onEvent(() => {
      throw new Error('listener');
    });
    c.onEvent((event) => seen.push(event));
    node.socket.write(eventFrame('{"Event-Name": nonsense'));
    node.socket.write(eventFrame('[1]') + eventFrame({ 'Event-Name': 'RE_SCHEDULE' }) + eventFrame('null'));
    node.socket.write(Buffer.concat([Buffer.from(eventFrame({ 'Event-Name': 'HEARTBEAT', x: 'Jos%E9' }))]));
    await until(() => seen.length === 1);
    expect(seen[0]?.type).toBe('heartbeat');
    expect(c.isOpen).toBe(true);
  });

  test('with bytes that are no UTF-8 still arrive', async () => {
    const c = await connect();
    const seen: NodeEvent[] = [];
    c.onEvent((event) => seen.push(event));
    const body = Buffer.from(
      '{"Event-Name":"CHANNEL_CREATE","Unique-ID":"u1","Caller-Caller-ID-Name":"Jos\xe9"}',
      'latin1',
    );
    node.socket.write(`Content-Length: ${body.length}\nContent-Type: text/event-json\n\n`);
    node.socket.write(body);
    await until(() => seen.length === 1);
    expect(seen[0]).toMatchObject({ type: 'channel', legId: 'u1', callerName: 'Jos\ufffd' });
  });
});

describe('background jobs', () => {
  const result = (jobId: string, body: string): string =>
    eventFrame({ 'Event-Name': 'BACKGROUND_JOB', 'Job-UUID': jobId, _body: body });

  test('finish in any order, also before their own acknowledgement', async () => {
    node.answer = (command) => {
      const jobId = /Job-UUID: (\S+)/.exec(command)?.[1];
      if (jobId === 'early') return result('early', '+OK at once\n') + commandReply('+OK Job-UUID: early');
      return jobId ? commandReply(`+OK Job-UUID: ${jobId}`) : undefined;
    };
    const c = await connect();
    const jobs = ['a', 'b', 'early'].map((jobId) => c.bgapi({ line: 'status' }, { jobId, ...soon }));
    await until(() => node.commands.filter((command) => command.startsWith('bgapi')).length === 3);
    node.socket.write(result('other', '+OK') + result('b', '-ERR USER_NOT_REGISTERED\n') + result('a', '+OK done\n'));
    expect(await Promise.all(jobs)).toEqual([
      { ok: true, text: 'done' },
      { ok: false, cause: 'USER_NOT_REGISTERED', text: 'USER_NOT_REGISTERED' },
      { ok: true, text: 'at once' },
    ]);
    expect(node.commands[1]).toBe('event json BACKGROUND_JOB');
    expect(node.commands[2]).toBe('bgapi status\nJob-UUID: a');
  });

  test('that are denied answer at once, that are late are rejected and leave the connection open', async () => {
    node.answer = (command) =>
      command.startsWith('bgapi denied') ? commandReply('-ERR denied') : commandReply('+OK Job-UUID: x');
    const c = await connect();
    expect(await c.bgapi({ line: 'denied' }, { jobId: 'd', ...soon })).toMatchObject({ ok: false, cause: 'denied' });
    const late = c.bgapi({ line: 'slow' }, { jobId: 's', timeoutMs: 2000 }); // for its acknowledgement as well
    await expect(c.bgapi({ line: 'slow' }, { jobId: 's', ...soon })).rejects.toMatchObject({ code: 'conflict' });
    await expect(late).rejects.toMatchObject({ kind: 'timeout', sent: true });
    expect(c.isOpen).toBe(true);
  });

  test('carry an originate as one line', async () => {
    node.answer = (command) =>
      command.startsWith('bgapi') ? commandReply('+OK Job-UUID: o') + result('o', '+OK leg-1\n') : undefined;
    const c = await connect();
    const call = originateCall({
      legId: 'leg-1',
      endpoint: 'user/1001@clinic.test',
      variables: {},
      ringTimeoutSeconds: 30,
      destination: { extension: '1002', dialplan: 'XML', context: 'users' },
    });
    expect(await c.bgapi(call, { jobId: 'o', ...soon })).toEqual({ ok: true, text: 'leg-1' });
    expect(node.commands.at(-1)).toBe(`bgapi ${call.line}\nJob-UUID: o`);
  });
});
