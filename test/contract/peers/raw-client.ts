/** An Event Socket client that hides nothing: the contract is about bytes, so it reads frames as they come. */
import { connect, type Socket } from 'node:net';

export interface Frame {
  headers: Record<string, string>;
  body: string;
}
export type RawEvent = Record<string, string>;

export interface RawClient {
  events: RawEvent[];
  /** Sends one command and resolves with its answer. */
  send(command: string): Promise<Frame>;
  /** Sends `bgapi` under a job id and resolves with the job's result. */
  job(command: string, jobId: string): Promise<string>;
  waitFor(matches: (event: RawEvent) => boolean, timeoutMs?: number): Promise<RawEvent>;
  closed: Promise<void>;
  notices: Frame[];
  close(): void;
}

/** Guards against hanging only. */
const TIMEOUT_MS = 45_000;

export async function connectRaw(port: number, host = '127.0.0.1'): Promise<RawClient> {
  const socket: Socket = connect(port, host);
  const waiters: ((frame: Frame) => void)[] = [];
  const watchers = new Set<(event: RawEvent) => void>();
  const events: RawEvent[] = [];
  const notices: Frame[] = [];
  let greeted: () => void = () => undefined;
  const greeting = new Promise<void>((done) => (greeted = done));
  let buffer = Buffer.alloc(0);

  function take(frame: Frame): void {
    const type = frame.headers['content-type'];
    if (type === 'auth/request') greeted();
    else if (type === 'text/event-json') {
      const event = JSON.parse(frame.body) as RawEvent;
      events.push(event);
      for (const watch of [...watchers]) watch(event);
    } else if (type === 'command/reply' || type === 'api/response') waiters.shift()?.(frame);
    else notices.push(frame);
  }
  socket.on('data', (chunk) => {
    buffer = Buffer.concat([buffer, chunk]);
    for (;;) {
      const end = buffer.indexOf('\n\n');
      if (end < 0) return;
      const headers: Record<string, string> = {};
      for (const line of buffer.subarray(0, end).toString('utf8').split('\n')) {
        const at = line.indexOf(': ');
        if (at > 0) headers[line.slice(0, at).toLowerCase()] = line.slice(at + 2);
      }
      const length = Number(headers['content-length'] ?? 0);
      if (buffer.length < end + 2 + length) return;
      const body = buffer.subarray(end + 2, end + 2 + length).toString('utf8');
      buffer = buffer.subarray(end + 2 + length);
      take({ headers, body });
    }
  });
  socket.on('error', () => undefined);
  const closed = new Promise<void>((done) => socket.once('close', () => done()));
  const ended = closed.then(() => Promise.reject(new Error('the connection has ended')));
  ended.catch(() => undefined);
  await inTime(Promise.race([greeting, ended]), 'the greeting');

  const client: RawClient = {
    events,
    notices,
    closed,
    send: (command) => {
      const answer = new Promise<Frame>((done) => waiters.push(done));
      socket.write(`${command}\n\n`);
      return inTime(Promise.race([answer, ended]), command.split('\n')[0]!);
    },
    async job(command, jobId) {
      const result = client.waitFor((e) => e['Event-Name'] === 'BACKGROUND_JOB' && e['Job-UUID'] === jobId);
      await client.send(`bgapi ${command}\nJob-UUID: ${jobId}`);
      return (await result)._body ?? '';
    },
    waitFor: (matches, timeoutMs = TIMEOUT_MS) => {
      const found = events.find(matches);
      if (found) return Promise.resolve(found);
      let watch: (event: RawEvent) => void = () => undefined;
      const waiting = new Promise<RawEvent>((done) => {
        watch = (event) => {
          if (matches(event)) done(event);
        };
        watchers.add(watch);
      });
      return inTime(Promise.race([waiting, ended]), 'an event', timeoutMs).finally(() => watchers.delete(watch));
    },
    close: () => socket.destroy(),
  };
  return client;
}

function inTime<T>(promise: Promise<T>, what: string, ms = TIMEOUT_MS): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not come within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
