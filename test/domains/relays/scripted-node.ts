/** A node as relays see it: told to record to an address, it publishes there as FreeSWITCH does, until it is told to stop. */
import { connect } from 'node:net';
import { publish, type Publisher } from '../../../src/domains/relays/rtmp/publisher';
import type { ApiCommand, Reply } from '../../../src/freeswitch/esl';

export interface ScriptedNode {
  /** Every command, as it would go over the wire. */
  readonly lines: string[];
  /** Streams that are being sent now. */
  readonly streams: Map<string, Publisher>;
  /** False: it answers +OK and sends nothing, as FreeSWITCH does when it can't connect. */
  sends: boolean;
  bytesPerSecond: number;
  api(nodeId: string, command: ApiCommand): Promise<Reply>;
  /** The room is over: streams end, without a word to anybody. */
  endStreams(): void;
  stop(): void;
}

const TICK_MS = 20;

export function createScriptedNode(): ScriptedNode {
  const node: ScriptedNode = {
    lines: [],
    streams: new Map(),
    sends: true,
    bytesPerSecond: 300_000,
    async api(_nodeId, command) {
      node.lines.push(command.line);
      const [, , , step, path] = command.line.split(' ');
      if (step === 'start' && node.sends) await send(path!);
      if (step === 'stop') {
        node.streams.get(path!)?.finish();
        node.streams.delete(path!);
      }
      return { ok: true, text: `Record file ${path}` };
    },
    endStreams() {
      for (const stream of node.streams.values()) stream.finish();
      node.streams.clear();
    },
    stop() {
      clearInterval(timer);
      node.endStreams();
    },
  };
  async function send(path: string): Promise<void> {
    const { hostname, port, pathname } = new URL(path);
    const [, app, streamName] = pathname.split('/');
    const socket = connect(Number(port), hostname);
    await new Promise((resolve) => socket.once('connect', resolve));
    const onClosed = (): void => void node.streams.delete(path);
    const stream = await publish({
      socket,
      app: app!,
      tcUrl: path,
      streamName: streamName!,
      deadlineMs: 60_000,
      onClosed,
    });
    node.streams.set(path, stream);
  }
  const startedAt = Date.now();
  const timer = setInterval(() => {
    const payload = Buffer.alloc(Math.round((node.bytesPerSecond * TICK_MS) / 1000), 7);
    for (const stream of node.streams.values()) {
      stream.send({ type: 9, streamId: 1, timestamp: Date.now() - startedAt, payload });
    }
  }, TICK_MS);
  return node;
}
