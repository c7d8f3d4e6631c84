/** How many events a second go from the socket into typed events, against the least a parser can do, in the same run. */
import { readFileSync } from 'node:fs';
import { createServer, connect, type AddressInfo } from 'node:net';
import path from 'node:path';
import { pino } from 'pino';
import { openConnection } from '../../src/freeswitch/esl';

const EVENTS = Number(process.argv[2] ?? 40_000);
const RUNS = Number(process.argv[3] ?? 9);
const NAMES = ['channel-create', 'channel-answer', 'channel-bridge', 'channel-hangup-complete', 'heartbeat'];
const FIXTURES = path.join(__dirname, '..', '..', 'test', 'fixtures', 'freeswitch');

/** Recorded events, over and over, as the node would write them. */
function stream(count: number): Buffer {
  const frames = NAMES.map((name) => {
    const body = JSON.stringify(JSON.parse(readFileSync(path.join(FIXTURES, `${name}.json`), 'utf8')));
    return Buffer.from(`Content-Length: ${Buffer.byteLength(body)}\nContent-Type: text/event-json\n\n${body}`);
  });
  return Buffer.concat(Array.from({ length: count }, (_, i) => frames[i % frames.length] as Buffer));
}

/** Finds a frame, reads its JSON, counts it: no types, no checks, no listeners. */
function minimalParser(onEvent: () => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk) => {
    const data = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
    let at = 0;
    for (;;) {
      const end = data.indexOf('\n\n', at);
      if (end < 0) break;
      const length = parseInt(data.toString('latin1', at + 16, end), 10);
      if (data.length < end + 2 + length) break;
      JSON.parse(data.toString('utf8', end + 2, end + 2 + length));
      at = end + 2 + length;
      onEvent();
    }
    rest = data.subarray(at);
  };
}

/** A counter that resolves with the seconds from the first event to the last. */
function counter(count: number): { tick: () => void; seconds: Promise<number> } {
  let seen = 0;
  let first = 0n;
  let done: (seconds: number) => void;
  const seconds = new Promise<number>((resolve) => (done = resolve));
  const tick = (): void => {
    if (seen++ === 0) first = process.hrtime.bigint();
    if (seen === count) done(Number(process.hrtime.bigint() - first) / 1e9);
  };
  return { tick, seconds };
}

async function main(): Promise<void> {
  const data = stream(EVENTS);
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.write('Content-Type: auth/request\n\n');
    socket.once('data', () => {
      socket.write('Content-Type: command/reply\nReply-Text: +OK accepted\n\n');
      setTimeout(() => socket.write(data), 50);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;

  async function ours(): Promise<number> {
    const { tick, seconds } = counter(EVENTS);
    const logger = pino({ level: 'silent' });
    const c = await openConnection({ host: '127.0.0.1', port, password: 'x', connectTimeoutMs: 5000, logger });
    c.onEvent(tick);
    const took = await seconds;
    c.close();
    return EVENTS / took;
  }

  async function minimal(): Promise<number> {
    const { tick, seconds } = counter(EVENTS);
    const socket = connect(port, '127.0.0.1');
    const parse = minimalParser(tick);
    let greeted = 0;
    socket.on('data', (chunk) => {
      if (greeted === 2) return parse(chunk);
      if (++greeted === 1) socket.write('auth x\n\n'); // the two greetings arrive apart: the second waits for our login
    });
    const took = await seconds;
    socket.destroy();
    return EVENTS / took;
  }

  await ours(); // warm up both
  await minimal();
  const results: { ours: number; minimal: number }[] = [];
  for (let run = 0; run < RUNS; run++) {
    const [first, second] = run % 2 ? [ours, minimal] : [minimal, ours];
    const [a, b] = [await first(), await second()];
    results.push(run % 2 ? { ours: a, minimal: b } : { ours: b, minimal: a });
  }
  server.close();
  const median = (values: number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
  console.log(
    JSON.stringify({
      events: EVENTS,
      runs: RUNS,
      meanBytes: Math.round(data.length / EVENTS),
      typedPerSecond: Math.round(median(results.map((r) => r.ours))),
      minimalPerSecond: Math.round(median(results.map((r) => r.minimal))),
      medianRatio: Number(median(results.map((r) => r.ours / r.minimal)).toFixed(3)),
      aim: 0.8,
    }),
  );
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
