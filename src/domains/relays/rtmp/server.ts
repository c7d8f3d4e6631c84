/** Where nodes send a room's stream to: a small RTMP server that takes only streams it was told to expect. */
import { createServer, type AddressInfo, type Socket } from 'node:net';
import type { AmfValue } from './amf';
import type { RtmpMessage } from './chunks';
import { MAX_UNNAMED_BYTES, SOURCE, UNNAMED } from './limits';
import { RtmpConnection } from './connection';
import { createUnnamed } from './unnamed';

/** A connection that has not named an expected stream by then is closed. */
const NAMING_DEADLINE_MS = 5000;
/** A node may begin several relays at once, and has named each within some round trips. */
const UNNAMED_LIMITS = { perAddress: 16, inAll: 64 };
/** Named ones count as well: more streams are no replica's. */
const MAX_CONNECTIONS = 1024;
const STREAM_ID = 1;

/** Somebody who waits for a stream. */
export interface Expectation {
  onPublish(source: RtmpSource): void;
  onMedia(message: RtmpMessage): void;
  onClosed(reason: string): void;
}

export interface RtmpSource {
  readonly receivedBytes: number;
  close(): void;
}

export interface RtmpServer {
  readonly port: number;
  /** Connections that were turned away, or named no expected stream, since it was opened. */
  readonly refused: number;
  /** Whoever publishes under this name is `who`'s source, once. @returns takes the name away again */
  expect(name: string, who: Expectation): () => void;
  stop(): Promise<void>;
}

/** Listens. @throws where the port is taken, or the address is not this machine's */
export async function openRtmpServer(host: string, port: number, o: { namingMs?: number } = {}): Promise<RtmpServer> {
  const expected = new Map<string, Expectation>();
  const sockets = new Set<Socket>();
  const unnamed = createUnnamed(UNNAMED_LIMITS);
  let refused = 0;

  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    const leave = unnamed.admit(socket.remoteAddress ?? '', () => socket.destroy());
    if (!leave) {
      refused += 1;
      socket.destroy();
      return;
    }
    takeSource(socket, expected, o.namingMs ?? NAMING_DEADLINE_MS, (isNamed) => {
      leave();
      if (!isNamed) refused += 1;
    });
  });
  server.maxConnections = MAX_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      server.on('error', () => undefined); // a connection that could not be accepted: the next one may be
      resolve();
    });
  });
  return {
    port: (server.address() as AddressInfo).port,
    get refused() {
      return refused;
    },
    expect(name, who) {
      expected.set(name, who);
      return () => void expected.delete(name);
    },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** @param onSettled is told once whether it named a stream; where not, it is closed */
function takeSource(
  socket: Socket,
  expected: Map<string, Expectation>,
  namingMs: number,
  onSettled: (isNamed: boolean) => void,
): void {
  let who: Expectation | undefined;
  let isSettled = false;
  const settle = (isNamed: boolean): void => {
    if (isSettled) return;
    isSettled = true;
    clearTimeout(deadline);
    onSettled(isNamed);
  };
  const deadline = setTimeout(() => peer.close('it named no stream'), namingMs);
  const maxReadBytes = (): number => (who ? Infinity : MAX_UNNAMED_BYTES);

  const peer = new RtmpConnection(
    socket,
    { side: 'server', limits: UNNAMED, maxReadBytes },
    {
      onOpen: () => undefined,
      onCommand(name, transaction, values, streamId) {
        if (name === 'connect') acceptApp(transaction);
        else if (name === 'createStream') peer.answer('_result', transaction, [null, STREAM_ID]);
        else if (name === 'publish') acceptStream(values[1], streamId);
        else if (name === 'deleteStream' || name === 'FCUnpublish') peer.close('the node ended the stream');
        else if (transaction > 0) peer.answer('_result', transaction, [null]);
      },
      onMedia: (message) => who?.onMedia(message),
      onClosed(reason) {
        settle(false);
        who?.onClosed(reason);
      },
    },
  );

  function acceptApp(transaction: number): void {
    peer.growChunks();
    const info = { level: 'status', code: 'NetConnection.Connect.Success', description: 'ok' };
    peer.answer('_result', transaction, [{ fmsVer: 'FMS/3,0,1,123', capabilities: 31 }, info]);
  }

  function acceptStream(name: AmfValue | undefined, streamId: number): void {
    const found = typeof name === 'string' ? expected.get(name) : undefined;
    const status = (level: string, code: string): void =>
      peer.answer('onStatus', 0, [null, { level, code, description: '' }], streamId);
    if (!found || who) {
      status('error', 'NetStream.Publish.BadName');
      peer.end(500);
      return;
    }
    expected.delete(name as string);
    who = found;
    peer.widen(SOURCE);
    settle(true);
    peer.userControl(0, streamId);
    status('status', 'NetStream.Publish.Start');
    found.onPublish({
      get receivedBytes() {
        return peer.receivedBytes;
      },
      close: () => peer.close('we closed it'),
    });
  }
}
