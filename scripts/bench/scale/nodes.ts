/** A thousand stand-in nodes in one process: an Event Socket that lists standing calls and tells recorded events. */
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { randomUUID } from 'node:crypto';
import { createDb } from '../../../src/infra/stores/db';
import * as frames from './frames';
import { passwordOf } from './seed';

export interface NodesOrder {
  /**
   * listen: answers the port. load: reads nodes and calls. burst: tells what `placing` calls do, then a mark.
   * dialled: when which call was to be dialled, since this was last asked.
   */
  kind: 'listen' | 'load' | 'burst' | 'drop' | 'usage' | 'dialled';
  nodeId?: string;
  mark?: number;
}

/** An originate that reached its node, by the machine's clock. */
export interface Dialled {
  callId: string;
  atMs: number;
}

interface StandIn {
  id: string;
  name: string;
  coreUuid: string;
  /** Answered calls, by the leg that was dialled. */
  calls: Map<string, frames.BenchCall>;
  /** The connections that listen; the stream's is the one that asked for channel events. */
  streams: Set<Socket>;
  jobs: Set<Socket>;
  /** What its reports say; also a mark: once it stands in the node's row, all told before is taken in. */
  idleCpu: number;
}

const BEAT_MS = 2000;
const TALK_MS = 1000;
const RING_MS = 100;
/** A call that may ring for as long as this does nothing else. */
const RINGS_ONLY_SECONDS = 250;
const IDLE_CPU = 45;

/** Each connection says by its password which node it means: all nodes share one port. */
export function createStandIns(databaseUrl: string): (order: NodesOrder) => Promise<unknown> {
  const nodes = new Map<string, StandIn>();
  const byId = new Map<string, StandIn>();
  const sockets = new Map<string, Set<Socket>>();
  let eventsTold = 0;
  let dialled: Dialled[] = [];

  const tell = (to: Set<Socket>, text: string): void => {
    for (const socket of to) if (!socket.destroyed) socket.write(text);
    eventsTold += 1;
  };
  const beat = (node: StandIn): void =>
    tell(node.streams, frames.heartbeatFrame(node.name, 2 * node.calls.size, node.idleCpu));

  function originate(node: StandIn, line: string, jobId: string): void {
    const fromLeg = /origination_uuid=([0-9a-f-]{36})/.exec(line)?.[1] ?? randomUUID();
    const callId = /switchyard_call_id=([0-9a-f-]{36})/.exec(line)?.[1] ?? randomUUID();
    const rings = Number(/call_timeout=(\d+)/.exec(line)?.[1] ?? 0) >= RINGS_ONLY_SECONDS;
    const call = { callId, fromLeg, toLeg: randomUUID(), rings };
    node.calls.set(fromLeg, call);
    dialled.push({ callId, atMs: Date.now() });
    const play = (steps: typeof frames.SETUP): void => {
      for (const [role, phase] of steps) tell(node.streams, frames.channelFrame(call, role, phase));
    };
    play(frames.SETUP.slice(0, 2));
    if (rings) return;
    setTimeout(() => {
      play(frames.SETUP.slice(2));
      tell(node.jobs, frames.jobFrame(jobId, `+OK ${fromLeg}\n`));
    }, RING_MS);
    setTimeout(() => {
      node.calls.delete(fromLeg);
      play(frames.END);
    }, RING_MS + TALK_MS);
  }

  function answer(node: StandIn, line: string): string {
    if (line === 'echo alive') return 'alive';
    if (line === 'show channels as json') return frames.channelsJson(node.calls.values());
    if (line === 'show registrations as json') return '{"row_count":0}';
    if (line === 'conference json_list') return '[]';
    if (line === 'global_getvar core_uuid') return node.coreUuid;
    if (line.startsWith('uuid_exists ')) return String(node.calls.has(line.slice(12)));
    return '-ERR command not found!\n';
  }

  function take(socket: Socket, node: StandIn, text: string): void {
    const [line = '', ...headers] = text.split('\n');
    if (line.startsWith('api ')) return void socket.write(frames.answerFrame(answer(node, line.slice(4).trim())));
    if (line.startsWith('bgapi ')) {
      const jobId = headers.find((h) => h.startsWith('Job-UUID: '))?.slice(10) ?? '';
      socket.write(frames.replyFrame(`+OK Job-UUID: ${jobId}`));
      return originate(node, line, jobId);
    }
    socket.write(frames.replyFrame('+OK event listener enabled json'));
    if (!line.includes('CHANNEL_CREATE')) return void node.jobs.add(socket);
    node.streams.add(socket);
    beat(node);
  }

  const server = createServer((socket) => {
    let node: StandIn | undefined;
    let rest = '';
    socket.setNoDelay(true).setEncoding('utf8');
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      node?.streams.delete(socket);
      node?.jobs.delete(socket);
      if (node) sockets.get(node.id)?.delete(socket);
    });
    socket.on('data', (chunk: string) => {
      rest += chunk;
      for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
        const text = rest.slice(0, end);
        rest = rest.slice(end + 2);
        if (node) take(socket, node, text);
        else {
          node = nodes.get(text.slice('auth '.length));
          if (!node) return void socket.destroy();
          sockets.get(node.id)!.add(socket);
          socket.write(frames.replyFrame('+OK accepted'));
        }
      }
    });
    socket.write('Content-Type: auth/request\n\n');
  });

  async function load(): Promise<void> {
    const db = createDb(databaseUrl, 1);
    const rows = (await db('nodes').select('id', 'name')) as { id: string; name: string }[];
    for (const { id, name } of rows) {
      const open = { calls: new Map(), streams: new Set<Socket>(), jobs: new Set<Socket>() };
      const node = { id, name, coreUuid: randomUUID(), idleCpu: IDLE_CPU, ...open };
      nodes.set(passwordOf(name), node);
      byId.set(id, node);
      sockets.set(id, new Set());
    }
    for (const { nodeId, ...call } of await readCalls('answered')) byId.get(nodeId)!.calls.set(call.fromLeg, call);
    await db.destroy();
    [...byId.values()].forEach((node, i) =>
      setTimeout(() => setInterval(() => beat(node), BEAT_MS), (i * BEAT_MS) / byId.size),
    );
  }

  async function readCalls(state: string): Promise<(frames.BenchCall & { nodeId: string })[]> {
    const db = createDb(databaseUrl, 1);
    const result = await db.raw<{ rows: { id: string; node_id: string; from_leg: string; to_leg: string | null }[] }>(
      `select c.id, c.node_id, f.id as from_leg, t.id as to_leg from calls c join legs f on f.call_id = c.id and
       f.role = 'from' left join legs t on t.call_id = c.id and t.role = 'to' where c.state = ? and c.origin = 'phone'`,
      [state],
    );
    await db.destroy();
    return result.rows.map((row) => ({
      callId: row.id,
      nodeId: row.node_id,
      fromLeg: row.from_leg,
      toLeg: row.to_leg ?? randomUUID(),
    }));
  }

  /** All at once, as after a pause of the network: how fast they are taken in is Switchyard's own pace. */
  async function burst(mark: number): Promise<{ events: number }> {
    const calls = await readCalls('placing');
    const before = eventsTold;
    let told = 0;
    for (const { nodeId, ...call } of calls) {
      const node = byId.get(nodeId)!;
      if (told++ % 20 === 19) await new Promise((resolve) => setImmediate(resolve)); // others are answered meanwhile
      for (const [role, phase] of [...frames.SETUP, ...frames.END])
        tell(node.streams, frames.channelFrame(call, role, phase));
    }
    const events = eventsTold - before;
    for (const node of byId.values()) {
      node.idleCpu = mark;
      beat(node);
    }
    return { events };
  }

  return async (order) => {
    if (order.kind === 'listen') {
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', 4096, resolve));
      return { port: (server.address() as AddressInfo).port };
    }
    if (order.kind === 'load') return load().then(() => ({ nodes: byId.size }));
    if (order.kind === 'burst') return burst(order.mark!);
    if (order.kind === 'drop') {
      byId.get(order.nodeId!)!.idleCpu = order.mark!;
      for (const socket of sockets.get(order.nodeId!) ?? []) socket.destroy();
      return { calls: byId.get(order.nodeId!)!.calls.size };
    }
    if (order.kind === 'dialled') {
      const some = dialled;
      dialled = [];
      return some;
    }
    return { cpuMicros: process.cpuUsage(), eventsTold };
  };
}
