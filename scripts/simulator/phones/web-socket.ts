/** The port for browsers of a simulated node: it takes a WebSocket for SIP, and says no more. */
import { createHash } from 'node:crypto';
import { createServer, type Socket } from 'node:net';
import type { NodeContext } from '../node-context';

const MAGIC = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

export interface WebSocketPort {
  close(): Promise<void>;
}

/** Where the port is taken the node runs without it, as a SIP profile does whose ws-binding fails. */
export async function openWebSocketPort(node: NodeContext, host: string, port: number): Promise<WebSocketPort> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    let asked = '';
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk: Buffer) => {
      asked += chunk.toString('latin1');
      if (!asked.includes('\r\n\r\n')) return;
      const key = /^sec-websocket-key:\s*(\S+)/im.exec(asked)?.[1] ?? '';
      const accept = createHash('sha1')
        .update(key + MAGIC)
        .digest('base64');
      node.whenAwake(() =>
        socket.write(
          'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
            `Sec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: sip\r\n\r\n`,
        ),
      );
    });
  });
  const opened = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, host, () => resolve(true));
  });
  if (!opened) node.logger.warn({ node: node.name, port }, 'a simulated node has no port for browsers: it is taken');
  return {
    close: () =>
      new Promise((resolve) => {
        sockets.forEach((socket) => socket.destroy());
        if (!opened) return resolve();
        server.close(() => resolve());
      }),
  };
}
