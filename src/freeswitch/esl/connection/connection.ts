/** One authenticated connection to one node: typed commands in, typed events out, and a deadline on every wait. */
import { setTimeout as sleep } from 'node:timers/promises';
import { SwitchyardError } from '../../../errors';
import { hostAndPort } from '../../../address';
import type { Logger } from '../../../infra/logger';
import { waitForBridges } from '../commands/settling';
import type { ApiCommand } from '../commands/commands';
import { assertSafe } from '../escape';
import { atMs, text, type RawEvent } from '../events/event-fields';
import type { NodeEvent } from '../events/events';
import { EslError, type ConnectionLost } from './faults';
import { FrameReader, type Frame } from './framing';
import { Jobs } from './jobs';
import { parseRawEvent, typedEvent } from '../events/parse-event';
import { parseReply, type Reply } from './replies';
import { openTransport, type Transport } from './transport';
import { asTold, type EventClock, type ReadTime } from '../events/event-clock';
import { Waiters } from './waiters';

export interface NodeConnection {
  /** Runs a command and waits for its answer. A missed deadline destroys the connection: answers carry no id. */
  api(command: ApiCommand, options: { timeoutMs: number }): Promise<Reply>;
  /**
   * Runs a command in the node's background under a job id of our own; resolves with the job's result. A job that is not
   * done in time is rejected, and goes on in the node; a job that is not even acknowledged destroys the connection.
   */
  bgapi(command: ApiCommand, options: JobOptions): Promise<Reply>;
  /** Adds to what is listened to. */
  subscribe(names: string[], subclasses: string[]): Promise<void>;
  onEvent(listener: (event: NodeEvent) => void): () => void;
  /** Called once, also where the connection is already closed. */
  onClosed(listener: (reason: ConnectionLost) => void): () => void;
  /** By our clock: when what a listing tells of came about, */
  readonly readTime: ReadTime;
  /** and when it is to end. */
  readonly readDeadline: ReadTime;
  /** Known after the first event. */
  readonly coreUuid?: string;
  readonly isOpen: boolean;
  /** Ends the connection; everything that waits is rejected. */
  close(): void;
}

export interface JobOptions {
  jobId: string;
  /** For its result. */
  timeoutMs: number;
  /** For the node to say that it has taken the job in; `timeoutMs` where it is left out. */
  acceptTimeoutMs?: number;
  /** Called once the node has taken the job in. */
  onAccepted?: () => void;
}

export interface ConnectOptions {
  host: string;
  port: number;
  password: string;
  /** For connecting and logging in together. */
  connectTimeoutMs: number;
  logger: Logger;
  /** Gives up connecting. */
  signal?: AbortSignal;
  /** Told of every event's time, and reads all times that come by this connection. */
  clock?: EventClock;
}

const SUBSCRIBE_TIMEOUT_MS = 5000;

/** Connects and logs in. Fails with an EslError of kind refused, unreachable, timeout, auth_failed, acl_denied or lost. */
export function openConnection(o: ConnectOptions): Promise<NodeConnection> {
  return new Promise((resolve, reject) => {
    assertSafe(o.password, 'password');
    const connection = new Connection(o, (error) => {
      clearTimeout(deadline);
      o.signal?.removeEventListener('abort', abort);
      if (error) reject(error);
      else resolve(connection);
    });
    const abort = (): void =>
      connection.fail(new EslError('lost', `Connecting to ${hostAndPort(o.host, o.port)} was given up`));
    const late = (): void =>
      connection.fail(
        new EslError('timeout', `${hostAndPort(o.host, o.port)} did not let us in within ${o.connectTimeoutMs} ms`),
      );
    const deadline = setTimeout(late, o.connectTimeoutMs);
    o.signal?.addEventListener('abort', abort, { once: true });
    if (o.signal?.aborted) abort();
  });
}

function connectFault(error: NodeJS.ErrnoException, where: string): EslError {
  const kind = error.code === 'ECONNREFUSED' ? 'refused' : 'unreachable';
  return new EslError(kind, `${where}: ${error.code ?? error.message}`, { cause: error });
}

/** A connection's whole life: connecting → logging in → open → closed. */
class Connection implements NodeConnection {
  readonly readTime: ReadTime;
  readonly readDeadline: ReadTime;
  coreUuid?: string;
  private stage: 'connecting' | 'login' | 'open' | 'closed' = 'connecting';
  private readonly waiters: Waiters;
  private readonly jobs = new Jobs();
  private readonly frames = new FrameReader((frame) => this.onFrame(frame));
  private readonly transport: Transport;
  private readonly eventListeners = new Set<(event: NodeEvent) => void>();
  private readonly closeListeners = new Set<(reason: ConnectionLost) => void>();
  private readonly subscribed = new Set<string>();
  private readonly where: string;
  private lost?: ConnectionLost;
  private onReady?: (error?: EslError) => void;

  constructor(
    private readonly o: ConnectOptions,
    onReady: (error?: EslError) => void,
  ) {
    this.onReady = onReady;
    const { clock } = o;
    this.readTime = clock ? (nodeMs) => clock.read(nodeMs) : asTold;
    this.readDeadline = clock ? (nodeMs) => clock.readDeadline(nodeMs) : asTold;
    this.where = hostAndPort(o.host, o.port);
    this.waiters = new Waiters((error) => this.fail(error));
    this.transport = openTransport(o.host, o.port, {
      onConnect: () => {
        if (this.stage === 'connecting') this.stage = 'login';
      },
      onData: (chunk) => this.onData(chunk),
      onClose: (error) => this.onTransportClosed(error),
    });
  }

  get isOpen(): boolean {
    return this.stage === 'open';
  }

  async api(command: ApiCommand, options: { timeoutMs: number }): Promise<Reply> {
    if (command.reshapes) await this.letBridgesSettle(command, options.timeoutMs);
    return this.send(`api ${command.line}`, options.timeoutMs);
  }

  async bgapi(command: ApiCommand, options: JobOptions): Promise<Reply> {
    const { jobId, timeoutMs, acceptTimeoutMs = timeoutMs, onAccepted } = options;
    if (command.reshapes) await this.letBridgesSettle(command, acceptTimeoutMs);
    const line = `bgapi ${assertSafe(command.line, 'command')}`;
    if (this.jobs.has(assertSafe(jobId, 'jobId'))) {
      throw new SwitchyardError('conflict', `Job ${jobId} is already under way`);
    }
    const listening = this.listenToJobs();
    const result = this.jobs.expect(jobId, nameOf(line), timeoutMs); // before sending: the result may come at once
    this.send(line, acceptTimeoutMs, `\nJob-UUID: ${jobId}`).then(
      (reply) => {
        if (reply.ok) onAccepted?.();
        else this.jobs.settle(jobId, reply); // denied: no result will come
      },
      (error: unknown) => this.jobs.reject(jobId, error),
    );
    const [reply] = await Promise.all([result, listening]);
    return reply;
  }

  async subscribe(names: string[], subclasses: string[]): Promise<void> {
    const custom = subclasses.length > 0 ? ['CUSTOM', ...subclasses] : []; // CUSTOM takes all that follows
    for (const name of [...names, ...subclasses]) this.subscribed.add(name);
    const reply = await this.send(`event json ${[...names, ...custom].join(' ')}`, SUBSCRIBE_TIMEOUT_MS);
    if (reply.ok) return;
    for (const name of [...names, ...subclasses]) this.subscribed.delete(name);
    throw new EslError('bad_reply', `${this.where} refused the subscription: ${reply.text}`);
  }

  onEvent(listener: (event: NodeEvent) => void): () => void {
    this.eventListeners.add(listener);
    return () => this.eventListeners.delete(listener);
  }

  onClosed(listener: (reason: ConnectionLost) => void): () => void {
    if (this.lost) listener(this.lost);
    else this.closeListeners.add(listener);
    return () => this.closeListeners.delete(listener);
  }

  close(): void {
    this.end({ kind: 'closed', detail: `The connection to ${this.where} was closed by us` });
  }

  /** Ends the connection for a reason. */
  fail(error: EslError): void {
    this.end({ kind: error.kind, detail: error.message }, error);
  }

  /** Every command goes through here, so that nobody has to think of it. Nothing is asked for most of them. */
  private letBridgesSettle(command: ApiCommand, timeoutMs: number): Promise<void> {
    return waitForBridges(command, (line) => this.send(`api ${line}`, timeoutMs), sleep);
  }

  private async listenToJobs(): Promise<void> {
    if (!this.subscribed.has('BACKGROUND_JOB')) await this.subscribe(['BACKGROUND_JOB'], []);
  }

  private send(line: string, timeoutMs: number, header = ''): Promise<Reply> {
    const name = nameOf(line);
    if (this.stage !== 'open') {
      return Promise.reject(new EslError('lost', `There is no connection to ${this.where} for "${name}"`));
    }
    assertSafe(line, 'command');
    const reply = this.waiters.expect(name, timeoutMs, this.where);
    this.transport.write(`${line}${header}\n\n`);
    return reply;
  }

  private onData(chunk: Buffer): void {
    try {
      this.frames.push(chunk);
    } catch (error) {
      const fault = error instanceof EslError ? error : new EslError('bad_reply', 'Unreadable', { cause: error });
      this.fail(fault);
    }
  }

  private onFrame(frame: Frame): void {
    switch (frame.contentType) {
      case 'text/event-json':
        return this.onEventFrame(frame);
      case 'api/response':
        return this.onReply(frame.body?.toString('utf8') ?? '');
      case 'command/reply':
        return this.onReply(frame.headers.get('reply-text') ?? '');
      case 'auth/request':
        return this.onAuthRequest();
      case 'text/rude-rejection':
        return this.fail(
          new EslError('acl_denied', `${this.where} does not let in ${this.transport.localAddress() ?? 'our address'}`),
        );
      case 'text/disconnect-notice':
        return this.fail(new EslError('lost', `${this.where} said goodbye`));
      default: // log/data and what later versions invent: nothing waits for it
        return this.o.logger.debug({ contentType: frame.contentType, node: this.where }, 'frame not used');
    }
  }

  private onAuthRequest(): void {
    if (this.stage !== 'login') return this.fail(new EslError('bad_reply', `${this.where} asked for a login again`));
    this.transport.write(`auth ${this.o.password}\n\n`);
  }

  /** At once, not in a promise: a node says goodbye in the same breath as it refuses, and the reason must win. */
  private onLoginReply(reply: Reply): void {
    if (!reply.ok) return this.fail(new EslError('auth_failed', `${this.where} refused the password`));
    this.stage = 'open';
    this.ready();
  }

  private onReply(raw: string): void {
    const reply = parseReply(raw);
    if (this.stage === 'login') return this.onLoginReply(reply);
    if (!this.waiters.settleFirst(reply)) {
      this.fail(new EslError('bad_reply', `${this.where} sent an answer that nobody had asked for`));
    }
  }

  private onEventFrame(frame: Frame): void {
    const raw = frame.body && parseRawEvent(frame.body);
    if (!raw)
      return this.o.logger.warn({ node: this.where, bytes: frame.body?.length ?? 0 }, 'event is no JSON object');
    if (this.coreUuid === undefined && typeof raw['Core-UUID'] === 'string') this.coreUuid = raw['Core-UUID'];
    this.hearTime(raw);
    const event = typedEvent(raw, this.readTime);
    if (!event) return;
    if (event.type === 'job') this.jobs.settle(event.jobId, event.reply);
    for (const listener of this.eventListeners) {
      try {
        listener(event);
      } catch (err) {
        this.o.logger.error({ err, node: this.where, event: event.type }, 'an event listener failed');
      }
    }
  }

  private hearTime(raw: RawEvent): void {
    const nodeMs = atMs(raw);
    if (!this.o.clock || nodeMs === 0) return;
    const isJob = raw['Event-Name'] === 'BACKGROUND_JOB';
    this.o.clock.hear(nodeMs, isJob ? this.jobs.askedAtMs(text(raw, 'Job-UUID')) : undefined);
  }

  private onTransportClosed(error: NodeJS.ErrnoException | undefined): void {
    if (error && this.stage === 'connecting') return this.fail(connectFault(error, this.where));
    this.fail(
      new EslError('lost', `The connection to ${this.where} was lost (${error?.code ?? 'closed by the node'})`),
    );
  }

  private ready(error?: EslError): void {
    const tell = this.onReady;
    this.onReady = undefined;
    tell?.(error);
  }

  private end(reason: ConnectionLost, error?: EslError): void {
    if (this.stage === 'closed') return;
    this.stage = 'closed';
    this.lost = reason;
    this.frames.stop();
    this.transport.destroy();
    this.waiters.rejectAll(reason.detail);
    this.jobs.rejectAll(reason.detail);
    this.ready(error ?? new EslError('lost', reason.detail));
    const listeners = [...this.closeListeners];
    this.closeListeners.clear();
    this.eventListeners.clear();
    for (const listener of listeners) listener(reason);
  }
}

/** Commands are named in errors and logs by their first words only: what follows can hold secrets. */
function nameOf(line: string): string {
  return line.split(' ', 2).join(' ');
}
