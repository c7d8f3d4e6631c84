/** A node that says exactly what a test tells it to, byte for byte. */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { pino } from 'pino';
import { until as waitUntil } from '../../until';
import { openConnection, type NodeConnection } from '../../../src/freeswitch/esl';

export const silent = pino({ level: 'silent' });

export const apiFrame = (body: string): string =>
  `Content-Type: api/response\nContent-Length: ${Buffer.byteLength(body)}\n\n${body}`;
export const commandReply = (text: string): string => `Content-Type: command/reply\nReply-Text: ${text}\n\n`;
export const eventFrame = (event: object | string): string => {
  const body = typeof event === 'string' ? event : JSON.stringify(event);
  return `Content-Length: ${Buffer.byteLength(body)}\nContent-Type: text/event-json\n\n${body}`;
};

export class ScriptedNode {
  readonly sockets: Socket[] = [];
  /** Everything received, one entry per command. */
  readonly commands: string[] = [];
  readonly reads: string[] = [];
  greeting = 'Content-Type: auth/request\n\n';
  /** What is said to a command; undefined says nothing. */
  answer: (command: string, socket: Socket) => string | undefined = () => undefined;
  password = 'right';
  private server!: Server;
  port = 0;

  async listen(port = 0): Promise<this> {
    this.server = createServer((socket) => this.accept(socket));
    await new Promise<void>((resolve) => this.server.listen(port, '127.0.0.1', resolve));
    this.port = (this.server.address() as AddressInfo).port;
    return this;
  }

  private accept(socket: Socket): void {
    this.sockets.push(socket);
    socket.on('error', () => undefined);
    if (this.greeting) socket.write(this.greeting);
    let text = '';
    socket.on('data', (chunk) => {
      this.reads.push(chunk.toString());
      text += chunk.toString();
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        const command = text.slice(0, end);
        text = text.slice(end + 2);
        this.commands.push(command);
        const said = this.reply(command, socket);
        if (said) socket.write(said);
      }
    });
  }

  private reply(command: string, socket: Socket): string | undefined {
    if (command.startsWith('auth ')) {
      return command === `auth ${this.password}`
        ? commandReply('+OK accepted')
        : commandReply('-ERR invalid') + 'Content-Type: text/disconnect-notice\nContent-Length: 0\n\n'; // as real nodes do
    }
    const own = this.answer(command, socket);
    if (own === undefined && command.startsWith('event ')) return commandReply('+OK event listener enabled json');
    return own;
  }

  get socket(): Socket {
    const last = this.sockets.at(-1);
    if (!last) throw new Error('nobody has connected');
    return last;
  }

  connect(password = 'right', connectTimeoutMs = 30_000): Promise<NodeConnection> {
    return openConnection({ host: '127.0.0.1', port: this.port, password, connectTimeoutMs, logger: silent });
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }
}

/** Waits for something to become true, with a deadline that only guards against hanging. */
export async function until(what: () => boolean): Promise<void> {
  await waitUntil(String(what), what);
}
