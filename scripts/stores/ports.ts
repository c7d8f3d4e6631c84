/** Finds out before anything starts which ports are taken, so that a person reads which setting to change. */
import { createServer } from 'node:net';

/** True where nobody listens there. */
export function isPortFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host, exclusive: true }, () => probe.close(() => resolve(true)));
  });
}

/**
 * Below what systems give to connections and to who asks for any port (Linux 32768 and up, some sandboxes 16000 and up):
 * nobody is given one of these between our look and our use of it.
 */
const PORTS = { first: 12_000, count: 4000 };
/** Test files run beside each other: each of jest's workers looks in a part of its own, so that no two find the same. */
const TEST_PORTS = { first: 10_000, count: 500, parts: 4 };

function readRange(worker: string | undefined): { first: number; count: number } {
  if (worker === undefined) return PORTS;
  const { first, count, parts } = TEST_PORTS;
  return { first: first + (Number(worker) % parts) * count, count };
}

let next = Math.floor(Math.random() * PORTS.count);

/** A port nobody uses at this moment, and another one at each call. @throws Error where all are taken */
export async function findFreePort(host = '127.0.0.1'): Promise<number> {
  const { first, count } = readRange(process.env.JEST_WORKER_ID);
  for (let tries = 0; tries < count; tries += 1) {
    const port = first + (next++ % count);
    if (await isPortFree(port, host)) return port;
  }
  throw new Error(`None of the ports from ${first} to ${first + count - 1} is free at ${host}.`);
}
