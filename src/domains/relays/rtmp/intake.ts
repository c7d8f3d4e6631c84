/** Where nodes send a room's stream to: a small RTMP server that takes only streams it was told to expect. */
import { createServer, type AddressInfo, type Socket } from 'node:net';
import type { AmfValue } from './amf';
import type { RtmpMessage } from './chunks';
import { RtmpPeer } from './peer';

/** A connection that has not named an expected stream by then is closed. */
const NAMING_DEADLINE_MS = 5000;
const MAX_UNNAMED = 64;
const STREAM_ID = 1;
export const INTAKE_APP = 'relay';

/** Somebody who waits for a stream. */
export interface Expectation {
  onPublish(source: IntakeSource): void;
  onMedia(message: RtmpMessage): void;
  onClosed(reason: string): void;
}

export interface IntakeSource {
  readonly receivedBytes: number;
  close(): void;
}

export interface Intake {
  readonly port: number;
  /** Whoever publishes under this name is `who`'s source, once. @returns takes the name away again */
  expect(name: string, who: Expectation): () => void;
  stop(): Promise<void>;
}

/** Listens. @throws where the port is taken */
export async function openIntake(host: string, port: number): Promise<Intake> {
  const expected = new Map<string, Expectation>();
  const sockets = new Set<Socket>();
  let unnamed = 0;

  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    if (unnamed >= MAX_UNNAMED) return void socket.destroy();
    unnamed += 1;
    takeSource(socket, expected, () => (unnamed -= 1));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
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

function takeSource(socket: Socket, expected: Map<string, Expectation>, onNamed: () => void): void {
  let who: Expectation | undefined;
  let isNamed = false;
  const settleName = (): void => {
    if (isNamed) return;
    isNamed = true;
    clearTimeout(deadline);
    onNamed();
  };
  const deadline = setTimeout(() => peer.close('it named no stream'), NAMING_DEADLINE_MS);

  const peer = new RtmpPeer(socket, 'server', {
    onOpen: () => undefined,
    onCommand(name, transaction, values, streamId) {
      if (name === 'connect') acceptApp(transaction);
      else if (name === 'createStream') peer.command('_result', transaction, [null, STREAM_ID]);
      else if (name === 'publish') acceptStream(values[1], streamId);
      else if (name === 'deleteStream' || name === 'FCUnpublish') peer.close('the node ended the stream');
      else if (transaction > 0) peer.command('_result', transaction, [null]);
    },
    onMedia: (message) => who?.onMedia(message),
    onClosed(reason) {
      settleName();
      who?.onClosed(reason);
    },
  });

  function acceptApp(transaction: number): void {
    peer.growChunks();
    const info = { level: 'status', code: 'NetConnection.Connect.Success', description: 'ok' };
    peer.command('_result', transaction, [{ fmsVer: 'FMS/3,0,1,123', capabilities: 31 }, info]);
  }

  function acceptStream(name: AmfValue | undefined, streamId: number): void {
    const found = typeof name === 'string' ? expected.get(name) : undefined;
    const status = (level: string, code: string): void =>
      peer.command('onStatus', 0, [null, { level, code, description: '' }], streamId);
    if (!found || who) {
      status('error', 'NetStream.Publish.BadName');
      peer.end(500);
      return;
    }
    expected.delete(name as string);
    who = found;
    settleName();
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
