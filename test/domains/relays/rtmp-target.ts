/** An RTMP server as relays meet them, with all the ways in which one can misbehave. */
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { SOURCE } from '../../../src/domains/relays/rtmp/limits';
import { RtmpConnection } from '../../../src/domains/relays/rtmp/connection';

export interface RtmpTarget {
  readonly port: number;
  /** `app/key` of every stream that was published, in order. */
  readonly published: string[];
  /** Video and sound that came, in bytes. */
  readonly mediaBytes: number;
  readonly connections: number;
  /** The next ones to publish are refused. */
  refuses: boolean;
  /** Closes all connections; the port stays open. */
  hangUp(): void;
  /** Stops reading from every connection, and keeps them open. */
  freeze(): void;
  stop(): Promise<void>;
}

export async function openRtmpTarget(port = 0, o: { silent?: boolean } = {}): Promise<RtmpTarget> {
  const sockets = new Set<Socket>();
  let mediaBytes = 0;
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    if (o.silent) return;
    let app = '';
    const peer = new RtmpConnection(
      socket,
      { side: 'server', limits: SOURCE },
      {
        onOpen: () => undefined,
        onCommand(name, transaction, values, streamId) {
          if (name === 'connect') {
            app = String((values[0] as { app?: unknown }).app);
            const info = { level: 'status', code: 'NetConnection.Connect.Success', description: '' };
            peer.command('_result', transaction, [{}, info]);
          } else if (name === 'createStream') {
            peer.command('_result', transaction, [null, 1]);
          } else if (name === 'publish') {
            const level = target.refuses ? 'error' : 'status';
            const code = target.refuses ? 'NetStream.Publish.BadName' : 'NetStream.Publish.Start';
            peer.command('onStatus', 0, [null, { level, code, description: `stream ${String(values[1])}` }], streamId);
            if (!target.refuses) target.published.push(`${app}/${String(values[1])}`);
          }
        },
        onMedia: (message) => (mediaBytes += message.payload.length),
        onClosed: () => undefined,
      },
    );
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const target: RtmpTarget = {
    port: (server.address() as AddressInfo).port,
    published: [],
    refuses: false,
    get mediaBytes() {
      return mediaBytes;
    },
    get connections() {
      return connections;
    },
    hangUp() {
      for (const socket of sockets) socket.destroy();
    },
    freeze() {
      for (const socket of sockets) socket.pause();
    },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        target.hangUp();
      }),
  };
  return target;
}
