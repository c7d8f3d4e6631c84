/** Records what a real node says, so that our tests read the truth and not our memory of it. */
import { randomUUID } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { networkInterfaces, hostname } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { listRooms, originateCall, showChannels, showRegistrations, SUBSCRIPTION } from '../src/freeswitch/esl';
import { FrameReader, type Frame } from '../src/freeswitch/esl/connection/framing';
import { openTransport, type Transport } from '../src/freeswitch/esl/connection/transport';

const USAGE = `tsx scripts/record-fixtures.ts --host H --port P --password W [--dial EXTENSION]... [--then COMMAND]... [--context users] [--seconds 20]
Dials each extension over loopback, sends each command (half a second apart: "conference NAME mute all"), listens for the given time (register phones meanwhile), writes test/fixtures/freeswitch/.`;

/** Long enough for what a command causes to be told before the next. */
const COMMAND_PAUSE_MS = 500;

/** The bare protocol: the typed connection would hide exactly what is to be recorded. */
class Recorder {
  readonly events = new Map<string, Record<string, unknown>>();
  private readonly replies: ((text: string) => void)[] = [];
  private readonly transport: Transport;
  private readonly frames = new FrameReader((frame) => this.onFrame(frame));
  private greet: () => void = () => undefined;
  private refuse: (error: Error) => void = () => undefined;
  readonly greeted = new Promise<void>((resolve, reject) => ([this.greet, this.refuse] = [resolve, reject]));

  constructor(host: string, port: number) {
    this.transport = openTransport(host, port, {
      onConnect: () => undefined,
      onData: (chunk) => this.frames.push(chunk),
      onClose: (error) => {
        this.refuse(error ?? new Error('The node closed the connection'));
        this.replies.splice(0).forEach((settle) => settle('-ERR connection closed'));
      },
    });
  }

  send(line: string): Promise<string> {
    return new Promise((resolve) => {
      this.replies.push(resolve);
      this.transport.write(`${line}\n\n`);
    });
  }

  close(): void {
    this.transport.destroy();
  }

  private onFrame(frame: Frame): void {
    if (frame.contentType === 'auth/request') return this.greet();
    if (frame.contentType === 'text/event-json') {
      const event = JSON.parse(frame.body?.toString('utf8') ?? '{}') as Record<string, unknown>;
      const name = [event['Event-Name'], event['Event-Subclass'], event['Action']].filter(Boolean).join('.');
      this.events.set(name.toLowerCase().replace(/[^a-z0-9.-]+/g, '-'), event); // the last one of each kind: it knows most
      return;
    }
    if (frame.contentType !== 'api/response' && frame.contentType !== 'command/reply') return;
    this.replies.shift()?.(frame.body?.toString('utf8') ?? frame.headers.get('reply-text') ?? '');
  }
}

/** Takes out what belongs to the machine it was recorded on. */
function scrub(text: string): string {
  let clean = text.replaceAll(hostname(), 'node-1');
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  for (const { address, internal } of addresses) if (!internal) clean = clean.replaceAll(address, '192.0.2.1');
  return clean
    .replace(/(?:\/[\w.-]+)+\/(switch_\w+\.c|mod_\w+\.c|\w+\.c)/g, '$1')
    .replace(/\/(?:tmp|opt|work|home|root|usr|var|etc)\/[^"\\\s,;}]*/g, '/node');
}

function save(directory: string, name: string, text: string): void {
  writeFileSync(path.join(directory, `${name}.json`), `${JSON.stringify(JSON.parse(scrub(text)), null, 2)}\n`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      host: { type: 'string', default: '127.0.0.1' },
      port: { type: 'string' },
      password: { type: 'string' },
      dial: { type: 'string', multiple: true, default: [] },
      then: { type: 'string', multiple: true, default: [] },
      context: { type: 'string', default: 'users' },
      seconds: { type: 'string', default: '20' },
      out: { type: 'string', default: path.join(__dirname, '..', 'test', 'fixtures', 'freeswitch') },
    },
  });
  if (!values.port || !values.password) throw new Error(USAGE);
  const recorder = new Recorder(values.host, Number(values.port));
  await recorder.greeted;
  const entered = await recorder.send(`auth ${values.password}`);
  if (!entered.startsWith('+OK')) throw new Error(`The node said: ${entered}`);
  await recorder.send(`event json ${SUBSCRIPTION.events.join(' ')} CUSTOM ${SUBSCRIPTION.subclasses.join(' ')}`);
  const legs: string[] = [];
  for (const extension of values.dial) {
    const [legId, callId] = [randomUUID(), randomUUID()];
    const call = originateCall({
      legId,
      endpoint: `loopback/${extension}/${values.context}`,
      variables: {
        switchyard_call_id: callId,
        switchyard_leg: 'from',
        accountcode: callId,
        origination_caller_id_name: "Zoë O'Hara, 50% 🙂",
        origination_caller_id_number: '1001',
      },
      ringTimeoutSeconds: 5,
      destination: { extension, dialplan: 'XML', context: values.context },
    });
    legs.push(legId);
    await recorder.send(`bgapi ${call.line}\nJob-UUID: ${randomUUID()}`);
  }
  await sleep(Number(values.seconds) * 500);
  for (const command of values.then) {
    console.log(`${command}: ${(await recorder.send(`api ${command}`)).trim()}`);
    await sleep(COMMAND_PAUSE_MS);
  }
  const listings = {
    'show-channels': await recorder.send(`api ${showChannels().line}`),
    'show-registrations': await recorder.send(`api ${showRegistrations().line}`),
    'conference-json-list': await recorder.send(`api ${listRooms().line}`),
  };
  for (const legId of legs) await recorder.send(`api uuid_kill ${legId}`);
  await sleep(Number(values.seconds) * 500);
  recorder.close();
  mkdirSync(values.out, { recursive: true });
  for (const [name, event] of recorder.events) save(values.out, name, JSON.stringify(event));
  for (const [name, text] of Object.entries(listings)) {
    if (/^[[{]/.test(text)) save(values.out, name, text);
    else console.error(`${name} was not recorded: ${text.trim()}`);
  }
  console.log(`${recorder.events.size} kinds of event recorded in ${values.out}`);
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
