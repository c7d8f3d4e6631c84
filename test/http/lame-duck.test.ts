/** A replica that is told to stop finishes what it has, takes nothing new, and does not wait for who only listens. */
import { Agent, createServer, get, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { followAnswers } from '../../src/http/lame-duck';
import { until } from '../until';

const agent = new Agent({ keepAlive: true });
afterAll(() => agent.destroy());

async function open(app: (request: IncomingMessage, response: ServerResponse) => void, answeredWithinMs?: number) {
  const server: Server = createServer(app);
  const finish = followAnswers(server, answeredWithinMs);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return { finish, port: (server.address() as AddressInfo).port };
}
const ask = (port: number, path = '/'): Promise<{ status?: number; text: string; connection?: string }> =>
  new Promise((done, fail) => {
    get({ host: '127.0.0.1', port, path, agent }, (answer) => {
      let text = '';
      answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
      answer.on('end', () => done({ status: answer.statusCode, text, connection: answer.headers.connection }));
      answer.on('error', fail);
    }).on('error', fail);
  });

test('what was asked is answered, what is asked now is not taken, and idle connections do not hold it up', async () => {
  let answer: () => void = () => undefined;
  const asked = new Promise<void>((done) => {
    answer = done;
  });
  let isAsked = false;
  const { finish, port } = await open((request, response) => {
    if (request.url === '/idle') return response.end('idle');
    isAsked = true;
    return void asked.then(() => response.end('all of it'));
  });
  expect((await ask(port, '/idle')).text).toBe('idle'); // its connection stays open
  const slow = ask(port);
  await until('it is asked', () => isAsked);
  let isOver = false;
  const over = finish().then(() => (isOver = true));
  await expect(ask(port, '/idle')).rejects.toThrow();
  expect(isOver).toBe(false);
  answer();
  expect(await slow).toEqual({ status: 200, text: 'all of it', connection: 'close' });
  await over;
});

test('streams of events end at once: their readers come back elsewhere', async () => {
  const { finish, port } = await open((_request, response) => {
    response.setHeader('content-type', 'text/event-stream; charset=utf-8');
    response.write('retry: 2000\n\n');
  }, 60_000);
  const stream = ask(port);
  await new Promise((done) => setTimeout(done, 100));
  await finish();
  expect((await stream).text).toBe('retry: 2000\n\n');
});

test('who is never answered is cut off in the end', async () => {
  const { finish, port } = await open(() => undefined, 200);
  const never = ask(port);
  never.catch(() => undefined);
  await new Promise((done) => setTimeout(done, 100));
  await finish();
  await expect(never).rejects.toThrow();
});
