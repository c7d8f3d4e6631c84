/** Starts the relay process when it is first needed, watches it, starts it again when it dies, and ends it. */
import { fork, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { extname, join } from 'node:path';
import type { Logger } from '../../../infra/logger';
import type { AddressRules } from '../targets/address-rules';
import { pauseBeforeTry } from '../state-machine';
import { TargetRefused } from '../targets/refusal';
import type { Target } from '../targets/target';
import { fromProcess, type ForwardRequest, type FromProcess, type ToProcess } from './messages';

export interface Flow {
  bytesSent: number;
  takenAtMs: number;
}

/** Why forwarding is over. `process`: it was no fault of node or target, ours is gone. */
export interface ForwardEnd {
  side: 'node' | 'target' | 'process';
  reason: string;
  detail: string;
}

/** One stream that is being forwarded. */
export interface Forwarding {
  /** The target has taken the stream; the node is expected at this port. Settles only when it comes to that. */
  readonly published: Promise<{ port: number }>;
  readonly flowing: Promise<void>;
  readonly ended: Promise<ForwardEnd>;
  /** Ends it cleanly, and whatever is left of it. */
  stop(): void;
}

export interface Forwarder {
  /** @throws TargetRefused; ProcessAway where the process can't be had now */
  check(target: Target, rules: AddressRules, timeoutMs: number): Promise<void>;
  start(request: ForwardRequest, onFlow: (flow: Flow) => void): Forwarding;
}

export interface RelayProcess extends Forwarder {
  /** Of the process as it is now, for those who watch it. */
  readonly pid: number | undefined;
  stop(): Promise<void>;
}

export interface RelayProcessOptions {
  logger: Logger;
  /** Where it listens for nodes; null: it only checks targets. */
  listen: { host: string; port: number } | null;
  /** It says something every second: after this many seconds of silence it is stuck, and killed. For tests. */
  silentSeconds?: number;
}

/** The relay process is not there now; it is started again. */
export class ProcessAway extends Error {}

/** What it may need of our environment: certificates that are trusted, and the time zone. No key, password or address. */
const ENVIRONMENT = ['NODE_EXTRA_CA_CERTS', 'SSL_CERT_DIR', 'SSL_CERT_FILE', 'TZ'];
/** Media lies in buffers beside it; this is for what is little and many. */
const HEAP_MB = 192;
const SILENT_SECONDS = 10;
/** With a compiler before it on a machine that has much to do. */
const READY_MS = 30_000;
const EXIT_MS = 2000;
/** Strangers must not fill the log. */
const SAY_REFUSED_EVERY_MS = 60_000;
/** A process that lived this long begins to count again. */
const STEADY_MS = 60_000;
const KEPT_ERROR_BYTES = 4000;
const GONE = 'the relay process has ended; it is started again';

/** One life of the process. */
interface Life {
  child: ChildProcess;
  ready: Promise<{ port: number | null }>;
  exited: Promise<void>;
}
interface Waiting {
  take(message: FromProcess): void;
  gone(): void;
}

export function createRelayProcess(options: RelayProcessOptions): RelayProcess {
  const { logger } = options;
  const waiting = new Map<string, Waiting>();
  let life: Life | undefined;
  let deaths = 0;
  let restart: NodeJS.Timeout | undefined;
  let isStopped = false;

  /** @throws ProcessAway */
  async function living(): Promise<{ life: Life; port: number | null }> {
    if (isStopped || restart) throw new ProcessAway(GONE);
    const current = (life ??= begin());
    const { port } = await current.ready;
    return { life: current, port };
  }

  function begin(): Life {
    const startedAtMs = Date.now();
    const child = forkProcess();
    let errors = '';
    child.stderr?.on('data', (bytes: Buffer) => (errors = (errors + bytes.toString()).slice(-KEPT_ERROR_BYTES)));
    let settle: { resolve(o: { port: number | null }): void; reject(error: Error): void };
    const ready = new Promise<{ port: number | null }>((resolve, reject) => (settle = { resolve, reject }));
    ready.catch(() => undefined);
    const watch = watchPulse(child, options.silentSeconds ?? SILENT_SECONDS, logger);
    const late = setTimeout(() => child.kill('SIGKILL'), READY_MS);
    child.on('message', (data) => {
      const read = fromProcess.safeParse(data);
      if (!read.success) return logger.warn('the relay process said what nobody understands');
      watch.heard(read.data);
      if (read.data.kind === 'ready') {
        clearTimeout(late);
        settle.resolve({ port: read.data.port });
      } else if ('id' in read.data) waiting.get(read.data.id)?.take(read.data);
    });
    const exited = new Promise<void>((resolve) => {
      const over = (code: number | null, signal: NodeJS.Signals | null): void => {
        clearTimeout(late);
        watch.stop();
        settle.reject(new ProcessAway(GONE));
        life = undefined;
        for (const each of [...waiting.values()]) each.gone();
        if (!isStopped) bury({ code, signal, errors }, Date.now() - startedAtMs);
        resolve();
      };
      child.once('exit', over);
      child.once('error', (error) => {
        errors += error.message;
        if (child.pid === undefined) over(null, null); // else 'exit' comes as well
      });
    });
    send(child, { kind: 'open', listen: options.listen });
    return { child, ready, exited };
  }

  function bury(why: object, livedMs: number): void {
    deaths = livedMs >= STEADY_MS ? 1 : deaths + 1;
    const pauseMs = pauseBeforeTry(deaths);
    logger.error({ ...why, pauseMs }, 'the relay process has ended; it is started again');
    restart = setTimeout(() => {
      restart = undefined;
      life ??= begin();
    }, pauseMs);
  }

  return {
    get pid() {
      return life?.child.pid;
    },
    async check(target, rules, timeoutMs) {
      const { life: current } = await living();
      await new Promise<void>((resolve, reject) => {
        const id = randomUUID();
        const end = (error?: Error): void => {
          waiting.delete(id);
          if (error) reject(error);
          else resolve();
        };
        waiting.set(id, {
          take(message) {
            if (message.kind !== 'checked') return;
            const { refusal } = message;
            end(refusal ? new TargetRefused(refusal.reason, refusal.detail) : undefined);
          },
          gone: () => end(new ProcessAway(GONE)),
        });
        send(current.child, { kind: 'check', id, target, rules, timeoutMs });
      });
    },
    start(request, onFlow) {
      const id = randomUUID();
      const published = settleLater<{ port: number }>();
      const flowing = settleLater<void>();
      const ended = settleLater<ForwardEnd>();
      let current: Life | undefined;
      const gone = (): void => {
        waiting.delete(id);
        ended.resolve({ side: 'process', reason: GONE, detail: GONE });
      };
      const isOver = (): boolean => !waiting.has(id);
      const begun = async (): Promise<void> => {
        const { life: found, port } = await living();
        if (isOver()) return;
        current = found;
        waiting.set(id, {
          take(message) {
            if (message.kind === 'published') published.resolve({ port: port ?? 0 });
            if (message.kind === 'flowing') flowing.resolve();
            if (message.kind === 'flow') onFlow({ bytesSent: message.bytesSent, takenAtMs: message.takenAtMs });
            if (message.kind === 'ended') {
              waiting.delete(id);
              ended.resolve({ side: message.side, reason: message.reason, detail: message.detail });
            }
          },
          gone,
        });
        send(found.child, { kind: 'start', id, request });
      };
      waiting.set(id, { take: () => undefined, gone });
      begun().catch(gone);
      return {
        published: published.promise,
        flowing: flowing.promise,
        ended: ended.promise,
        stop() {
          waiting.delete(id);
          if (current && current === life) send(current.child, { kind: 'stop', id });
        },
      };
    },
    async stop() {
      isStopped = true;
      clearTimeout(restart);
      if (!life) return;
      const { child, exited } = life;
      const timer = setTimeout(() => child.kill('SIGKILL'), EXIT_MS);
      if (child.connected) child.disconnect(); // it ends by that
      await exited.finally(() => clearTimeout(timer));
    },
  };
}

function settleLater<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((done) => (resolve = done));
  return { promise, resolve };
}

function send(child: ChildProcess, message: ToProcess): void {
  if (child.connected) child.send(message, () => undefined); // where it is gone, 'exit' says so
}

/** Beside this file, as source under tsx and jest, and built in `dist`. */
function forkProcess(): ChildProcess {
  const ending = extname(__filename);
  const env = Object.fromEntries(ENVIRONMENT.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
  return fork(join(__dirname, `main${ending}`), [], {
    env,
    execArgv: [
      `--max-old-space-size=${HEAP_MB}`,
      ...(ending === '.ts' ? ['--require', require.resolve('tsx/cjs')] : ['--enable-source-maps']),
    ],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
}

/** Kills a process that says nothing any more. A look of ours that comes late says that we stood still, not the process. */
function watchPulse(
  child: ChildProcess,
  silentSeconds: number,
  logger: Logger,
): { heard(message: FromProcess): void; stop(): void } {
  let silent = 0;
  let isReady = false;
  let refused = 0;
  let saidAtMs = -Infinity;
  const timer = setInterval(() => {
    if (!isReady) return; // READY_MS ends one that never is
    silent += 1;
    if (silent < silentSeconds) return;
    logger.error({ pid: child.pid, silentSeconds }, 'the relay process is stuck; it is killed');
    child.kill('SIGKILL');
  }, 1000);
  return {
    heard(message) {
      silent = 0;
      if (message.kind === 'ready') isReady = true;
      if (message.kind !== 'pulse' || message.refused === refused) return;
      if (Date.now() - saidAtMs < SAY_REFUSED_EVERY_MS) return;
      saidAtMs = Date.now();
      logger.warn(
        { connections: message.refused - refused },
        'connections to the RTMP listener named no stream of ours',
      );
      refused = message.refused;
    },
    stop: () => clearInterval(timer),
  };
}
