/** Listens to a node as Switchyard does, and keeps what matters: channels, and commands that were run. */
import { connect, type Socket } from 'node:net';

export interface ChannelSeen {
  id: string;
  direction: string;
  name: string;
  destination: string;
  callId: string | undefined;
  createdAtMs: number;
  answeredAtMs: number | undefined;
  endedAtMs: number | undefined;
}

export interface Ear {
  channels: Map<string, ChannelSeen>;
  /** Each command that was run, with its arguments. */
  commands: string[];
  /** @returns the answer's body @throws where none comes in time */
  api(command: string): Promise<string>;
  isOpen(): boolean;
  close(): void;
}

const ANSWER_MS = 5000;
const EVENTS =
  'API CHANNEL_CREATE CHANNEL_ANSWER CHANNEL_HANGUP_COMPLETE CHANNEL_DESTROY CHANNEL_EXECUTE CHANNEL_CALLSTATE';

/** @throws where the node does not let us in */
export async function openEar(port: number, password: string): Promise<Ear> {
  const socket: Socket = connect(port, '127.0.0.1');
  const waiters: ((body: string) => void)[] = [];
  const channels = new Map<string, ChannelSeen>();
  const commands: string[] = [];
  let buffered: Buffer = Buffer.alloc(0);
  let open = true;
  socket.on('error', () => undefined);
  socket.on('close', () => {
    open = false;
    for (const waiter of waiters.splice(0)) waiter('');
  });

  const take = (headers: Map<string, string>, body: string): void => {
    const type = headers.get('content-type');
    if (type === 'text/event-json') takeEvent(JSON.parse(body) as Record<string, string>);
    else if (type === 'command/reply') waiters.shift()?.(headers.get('reply-text') ?? '');
    else if (type === 'api/response') waiters.shift()?.(body);
  };
  const takeEvent = (e: Record<string, string>): void => {
    if (e['Event-Name'] === 'API') {
      commands.push(`${e['API-Command']} ${e['API-Command-Argument'] ?? ''}`.trim());
      return;
    }
    const id = e['Unique-ID'];
    if (!id) return;
    const known: ChannelSeen = channels.get(id) ?? {
      id,
      direction: e['Call-Direction'] ?? '',
      name: e['Channel-Name'] ?? '',
      destination: e['Caller-Destination-Number'] ?? '',
      callId: undefined,
      createdAtMs: Date.now(),
      answeredAtMs: undefined,
      endedAtMs: undefined,
    };
    channels.set(id, known);
    known.callId ??= e.variable_switchyard_call_id ?? e.variable_accountcode;
    if (e['Event-Name'] === 'CHANNEL_ANSWER') known.answeredAtMs ??= Date.now();
    if (/HANGUP_COMPLETE|DESTROY/.test(e['Event-Name'] ?? '')) known.endedAtMs ??= Date.now();
  };
  socket.on('data', (chunk) => {
    buffered = Buffer.concat([buffered, chunk]);
    for (;;) {
      const end = buffered.indexOf('\n\n');
      if (end < 0) return;
      const lines = buffered.toString('utf8', 0, end).split('\n');
      const headers = new Map(
        lines.map((line) => [line.split(':', 1)[0]!.toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
      );
      const length = Number(headers.get('content-length') ?? 0);
      if (buffered.length < end + 2 + length) return;
      const body = buffered.toString('utf8', end + 2, end + 2 + length);
      buffered = buffered.subarray(end + 2 + length);
      take(headers, body);
    }
  });
  const say = (line: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`the node does not answer "${line.split(' ').slice(0, 2).join(' ')}"`)),
        ANSWER_MS,
      );
      waiters.push((body) => {
        clearTimeout(timer);
        resolve(body);
      });
      socket.write(`${line}\n\n`);
    });
  const reply = await say(`auth ${password}`);
  if (!reply.startsWith('+OK')) throw new Error(`The node says to our password: ${reply || 'nothing'}`);
  await say(`event json ${EVENTS}`);
  return {
    channels,
    commands,
    api: (command) => say(`api ${command}`),
    isOpen: () => open,
    close: () => socket.destroy(),
  };
}
