/** The only file that knows modesl: it gives us its socket and nothing else, because its reader and its queues lose count. */
import type { Socket } from 'node:net';
import { Connection as ModeslConnection } from 'modesl';

/** What happens on the wire. `onClose` comes exactly once, whatever went wrong. */
export interface TransportEvents {
  onConnect: () => void;
  onData: (chunk: Buffer) => void;
  onClose: (error: NodeJS.ErrnoException | undefined) => void;
}

/** A raw, ordered, bidirectional line to a node. */
export interface Transport {
  /** One call is one write: a command that is split waits for the peer's delayed acknowledgement. */
  write(text: string): void;
  destroy(): void;
  /** Ours, of this connection. */
  localAddress(): string | undefined;
}

const KEEP_ALIVE_MS = 10_000;

/** modesl's connection without its parser, its automatic login, and its unheard `error` events that end the process. */
class BareConnection extends ModeslConnection {
  protected override _onConnect(): void {}
  protected override _onError(): void {}
}

/** Starts connecting at once. */
export function openTransport(host: string, port: number, events: TransportEvents): Transport {
  const { socket } = new BareConnection(host, port, '') as { socket: Socket };
  let failure: NodeJS.ErrnoException | undefined;
  socket.setNoDelay(true);
  socket.setKeepAlive(true, KEEP_ALIVE_MS);
  socket.on('connect', events.onConnect);
  socket.on('data', events.onData);
  socket.on('error', (error) => (failure = error));
  socket.on('end', () => socket.destroy());
  socket.once('close', () => events.onClose(failure));
  return {
    write: (text) => {
      if (!socket.destroyed) socket.write(text);
    },
    destroy: () => socket.destroy(),
    localAddress: () => socket.localAddress,
  };
}
