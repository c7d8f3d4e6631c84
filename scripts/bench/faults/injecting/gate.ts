/** A TCP gate in front of a service: it can be shut (refused), cut (nothing gets through, nobody is told) or reset. */
import { connect, createServer, type Server, type Socket } from 'node:net';

export interface Gate {
  readonly port: number;
  /** Nothing gets through either way, and no end is told, as if the cable were out. */
  cut(): void;
  /** What waited gets through; with `reset` the connections of before are gone instead. */
  heal(reset: boolean): void;
  /** Breaks the connections there are. */
  reset(): void;
  /** Refuses connections, and breaks those there are: the process behind is gone. */
  shut(): Promise<void>;
  /** Listens at the same port again. */
  open(): Promise<void>;
}

interface Pair {
  client: Socket;
  server: Socket | undefined;
}

/** @param targets asked for each connection: the ports behind, the first that takes it gets it */
export async function openGate(port: number, targets: () => readonly number[]): Promise<Gate> {
  const pairs = new Set<Pair>();
  let isCut = false;
  /** Ends that were seen while the cable was out. */
  let unsaid: (() => void)[] = [];
  const say = (end: () => void): void => {
    if (isCut) unsaid.push(end);
    else end();
  };

  function join(pair: Pair, ports: readonly number[]): void {
    const [first, ...rest] = ports;
    if (first === undefined || pair.client.destroyed) return void pair.client.destroy();
    const server = connect({ port: first, host: '127.0.0.1', noDelay: true });
    server.once('connect', () => {
      pair.server = server;
      if (isCut) server.pause();
      else pair.client.resume();
      pass(pair.client, server);
      pass(server, pair.client);
    });
    server.once('error', () => {
      if (pair.server === undefined) join(pair, rest);
    });
  }
  function pass(from: Socket, to: Socket): void {
    from.on('data', (chunk: Buffer) => void (to.destroyed || to.write(chunk)));
    from.on('end', () => say(() => to.end()));
    from.on('error', () => undefined);
    from.on('close', () => say(() => to.destroy()));
  }
  function take(client: Socket): void {
    client.setNoDelay(true);
    client.pause();
    client.on('error', () => undefined);
    const pair: Pair = { client, server: undefined };
    pairs.add(pair);
    client.on('close', () => pairs.delete(pair));
    if (!isCut) join(pair, targets());
  }
  function reset(): void {
    for (const { client, server } of pairs) {
      client.resetAndDestroy();
      server?.resetAndDestroy();
    }
    pairs.clear();
  }
  let listener: Server | undefined;
  const listen = (wanted: number): Promise<number> =>
    new Promise((resolve, reject) => {
      const server = createServer(take);
      server.once('error', reject);
      server.listen(wanted, '127.0.0.1', () => {
        listener = server;
        const address = server.address();
        resolve(typeof address === 'object' && address ? address.port : wanted);
      });
    });
  const own = await listen(port);

  return {
    port: own,
    cut() {
      isCut = true;
      for (const { client, server } of pairs) {
        client.pause();
        server?.pause();
      }
    },
    heal(wantsReset) {
      isCut = false;
      const ends = unsaid;
      unsaid = [];
      if (wantsReset) return reset();
      for (const end of ends) end();
      for (const pair of pairs) {
        if (!pair.server) join(pair, targets());
        else {
          pair.client.resume();
          pair.server.resume();
        }
      }
    },
    reset,
    async shut() {
      const closing = listener;
      listener = undefined;
      isCut = false;
      unsaid = [];
      const closed = closing && new Promise<void>((resolve) => closing.close(() => resolve()));
      reset();
      await closed;
    },
    async open() {
      if (!listener) await listen(own);
    },
  };
}
