/** The Event Socket of a simulated node: the same frames, answers and refusals in the same order. */
import { randomUUID } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import { readAddress } from '../../../src/address';
import { isAllowed } from '../acl';
import type { Api } from './api-commands';
import type { Listener, NodeContext } from '../node-context';

const MAX_FRAME_BYTES = 1024 * 1024;
const REJECTION = 'Access Denied, go away.\n';
const GOODBYE = 'Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n';

export interface EventSocket {
  readonly port: number;
  /** Ends the connections that are open now; new ones are taken. */
  drop(): void;
  freeze(): void;
  thaw(): void;
  close(): Promise<void>;
}

export async function openEventSocket(
  node: NodeContext,
  api: Api,
  host: string,
  port: number,
  lock: { password: string; acl: string },
): Promise<EventSocket> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    if (node.faults.frozen) socket.pause();
    if (!isAllowed(node.networkLists, addressOf(socket), lock.acl)) return rejectConnection(socket);
    serve(node, api, socket, lock.password);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address ? address.port : port,
    drop: () => sockets.forEach((s) => s.destroy()),
    freeze: () => sockets.forEach((s) => s.pause()),
    thaw: () => sockets.forEach((s) => s.resume()),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        sockets.forEach((s) => s.destroy());
      }),
  };
}

const addressOf = (socket: Socket): string => readAddress(socket.remoteAddress ?? '') ?? '';

function rejectConnection(socket: Socket): void {
  socket.on('error', () => socket.destroy());
  socket.end(`Content-Type: text/rude-rejection\nContent-Length: ${REJECTION.length}\n\n${REJECTION}`);
}

function serve(node: NodeContext, api: Api, socket: Socket, password: string): void {
  socket.setNoDelay(true);
  let authenticated = false;
  let buffer = '';
  let listening = false;
  const names = new Set<string>();
  const subclasses = new Set<string>();
  // One after the other: answers carry no id, so their order is all a client has.
  let queue: Promise<void> = Promise.resolve();

  const write = (text: string): void => {
    if (!socket.destroyed) socket.write(text);
  };
  const frame = (type: string, body: string): void =>
    write(`Content-Type: ${type}\nContent-Length: ${Buffer.byteLength(body)}\n\n${body}`);
  const reply = (text: string, more = ''): void => write(`Content-Type: command/reply\nReply-Text: ${text}\n${more}\n`);
  const listener: Listener = {
    wants: (name, subclass) =>
      listening && (names.has('ALL') || (names.has(name) && (subclass === undefined || subclasses.has(subclass)))),
    deliver: (json) => write(`Content-Length: ${Buffer.byteLength(json)}\nContent-Type: text/event-json\n\n${json}`),
  };
  node.listeners.add(listener);
  const goodbye = (): void => {
    frame('text/disconnect-notice', GOODBYE);
    socket.end();
  };

  function background(line: string, jobId: string): void {
    const at = line.indexOf(' ');
    void api.run(line).then((body) =>
      node.whenAwake(() => {
        if (!listener.wants('BACKGROUND_JOB', undefined)) return;
        const json = JSON.stringify({
          ...node.stamp('BACKGROUND_JOB', 'mod_event_socket.c', 'api_exec'),
          'Job-UUID': jobId,
          'Job-Command': at < 0 ? line : line.slice(0, at),
          ...(at < 0 ? {} : { 'Job-Command-Arg': line.slice(at + 1) }),
          'Content-Length': String(Buffer.byteLength(body)),
          _body: body,
        });
        node.tell(() => listener.deliver(json));
      }),
    );
  }

  function subscribe(line: string): void {
    const words = line.split(' ').slice(1);
    const format = ['json', 'plain', 'xml'].includes(words[0] ?? '') ? words.shift()! : 'plain';
    let custom = false;
    let known = 0;
    for (const word of words) {
      if (custom) subclasses.add(word);
      else if (/^[A-Z_]+$/i.test(word)) {
        names.add(word.toUpperCase());
        known += 1;
        custom = word.toUpperCase() === 'CUSTOM';
      }
    }
    if (known === 0) return reply('-ERR no keywords supplied');
    listening = true;
    reply(`+OK event listener enabled ${format}`);
  }

  async function command(text: string): Promise<void> {
    const [line = '', ...headers] = text.split('\n').map((l) => l.replace(/\r$/, ''));
    if (!authenticated) {
      if (!line.startsWith('auth ')) return reply('-ERR command not found');
      authenticated = line.slice(5) === password;
      if (authenticated) return reply('+OK accepted');
      reply('-ERR invalid');
      return goodbye();
    }
    if (line.startsWith('api '))
      return frame('api/response', (await api.run(line.slice(4).trim())) || '-ERR no reply\n');
    if (line.startsWith('bgapi ')) {
      const given = headers.find((h) => /^job-uuid:/i.test(h));
      const jobId = given ? given.slice(given.indexOf(':') + 1).trim() : randomUUID();
      reply(`+OK Job-UUID: ${jobId}`, `Job-UUID: ${jobId}\n`);
      return background(line.slice(6).trim(), jobId);
    }
    if (/^event\b/.test(line)) return subscribe(line);
    if (line === 'exit' || line.startsWith('exit ')) {
      reply('+OK bye');
      return goodbye();
    }
    if (line === 'noevents') {
      const was = listening;
      listening = false;
      names.clear();
      subclasses.clear();
      return reply(was ? '+OK no longer listening for events' : '-ERR not listening for events');
    }
    if (line.startsWith('nixevent ')) {
      for (const word of line.split(' ').slice(1)) if (!names.delete(word)) subclasses.delete(word);
      return reply('+OK events nixed');
    }
    if (line === 'linger' || line === 'nolinger') return reply('-ERR not controlling a session');
    return reply('-ERR command not found');
  }

  socket.setEncoding('utf8');
  socket.on('data', (chunk: string) => {
    buffer += chunk;
    if (buffer.length > MAX_FRAME_BYTES) return void socket.destroy();
    for (;;) {
      const end = /\r?\n\r?\n/.exec(buffer);
      if (!end) return;
      const text = buffer.slice(0, end.index);
      buffer = buffer.slice(end.index + end[0].length);
      if (text.trim() === '') continue;
      queue = queue.then(() => new Promise<void>((done) => node.whenAwake(() => void command(text).finally(done))));
    }
  });
  socket.on('error', () => socket.destroy());
  socket.on('close', () => node.listeners.delete(listener));
  write('Content-Type: auth/request\n\n');
}
