/** Holds Switchyard to answering as fast as ever while strangers and a tenant's target send what takes a parser longest. */
import { connect, createServer, type AddressInfo, type Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { findFreePort } from '../../scripts/ports';
import { useStores } from '../stores';
import { DOMAIN, openYard, until, type Yard } from './harness';

let yard: Yard;
let target: Server;
afterAll(async () => {
  target?.close();
  await yard?.close();
});
const stores = useStores();

const HANDSHAKE = Buffer.alloc(1 + 2 * 1536, 3);
const FLOOD_BYTES = 64 * 1024;
const REQUESTS = 100;

/** A message in chunks of one byte: the peer has said before that its chunks have one byte. */
function oneByteChunks(chunkSize: number): Buffer {
  const setSize = Buffer.from([2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, chunkSize >> 8, chunkSize & 0xff]);
  // Where chunks of one byte are not accepted: messages of one byte, each with its header.
  const length = chunkSize === 1 ? FLOOD_BYTES / 2 : 1;
  const begin = Buffer.from([4, 0, 0, 0, length >> 16, (length >> 8) & 0xff, length & 0xff, 18, 0, 0, 0, 0, 5]);
  const rest = Buffer.alloc(FLOOD_BYTES - begin.length, 5);
  for (let at = 0; at < rest.length; at += 2) rest[at] = 0xc4;
  return Buffer.concat([setSize, begin, rest]);
}
const FLOODS = [1, 128].map((size) => Buffer.concat([HANDSHAKE, oneByteChunks(size)]));

async function callDoor(port: number, round: number): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.resume();
  socket.write(FLOODS[round % 2]!);
  await new Promise<void>((resolve) => socket.once('close', () => resolve()));
}

/** Asks so often, and goes on until `isEnough`. */
async function meanMs(requests: number, isEnough: () => boolean): Promise<number> {
  const startedAt = performance.now();
  let asked = 0;
  for (; asked < requests || !isEnough(); asked += 1) expect((await fetch(`${yard.url}/healthz`)).status).toBe(200);
  return (performance.now() - startedAt) / asked;
}

test('/healthz answers as fast while both ends of relays are flooded as before and after', async () => {
  const relayPort = await findFreePort();
  yard = await openYard(stores, { relayAllowPrivate: true, relayPorts: [[1, 65_535]], relayPort });
  const { id } = (await yard.api('POST', '/v1/rooms', { domain: DOMAIN, name: 'stage' })).body;
  let asked = 0;
  target = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.resume();
    socket.write(FLOODS[asked % 2]!); // all at once, before it has heard anything
    asked += 1;
  });
  await new Promise<void>((resolve) => target.listen(0, '127.0.0.1', resolve));
  const url = `rtmp://127.0.0.1:${(target.address() as AddressInfo).port}/live`;
  const ask = () => yard.api('POST', `/v1/rooms/${id}/relays`, { url, streamKey: 'key' });
  await until('the relay process is there', async () => (await ask()).status === 201);

  let attacks = 0;
  const measure = (): Promise<number> => meanMs(REQUESTS, () => true);
  async function measureFlooded(): Promise<number> {
    let isOver = false;
    const before = attacks;
    const attackers = [() => callDoor(relayPort, attacks), ask].map(async (attack) => {
      while (!isOver) {
        await attack();
        attacks += 1;
        await sleep(250);
      }
    });
    // Until both ends have been flooded in that time, and the answers have waited for whatever that did.
    const ms = await meanMs(REQUESTS, () => attacks >= before + 4);
    isOver = true;
    await Promise.all(attackers);
    return ms;
  }

  await measureFlooded(); // the compilers of both processes have seen it
  const [quiet, flooded]: [number[], number[]] = [[await measure()], []];
  for (let round = 0; round < 5; round += 1) {
    flooded.push(await measureFlooded());
    quiet.push(await measure());
  }
  const median = (list: number[]): number => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)]!;
  const show = (list: number[]): string => list.map((ms) => ms.toFixed(2)).join(', ');
  process.stdout.write(`/healthz: ${show(quiet)} ms quiet, ${show(flooded)} ms while flooded ${attacks} times\n`);
  expect(attacks).toBeGreaterThan(10);
  expect(median(flooded)).toBeLessThan(2 * median(quiet));
});
