/** Keeps one node connected: reconnects with growing, jittered pauses, and notices a peer that is frozen. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../../../infra/logger';
import { probe } from '../commands/commands';
import { openConnection, type NodeConnection } from './connection';
import { EslError, type ConnectionLost } from './faults';
import type { EventClock } from '../events/event-clock';
import { backoffMs } from '../../../infra/flow/backoff';

/** What is known when a link is down. */
export interface DownReport {
  /** True where a working connection was lost; false where an attempt to connect failed. */
  wasUp: boolean;
  /** Attempts in a row that failed. */
  failures: number;
  retryInMs: number;
}

export interface NodeLinkOptions {
  host: string;
  port: number;
  /** A function is asked before every attempt: passwords are rotated. */
  password: string | (() => string | Promise<string>);
  logger: Logger;
  /** Subscribe and take the snapshot here. If it throws, the connection is closed and made again. */
  onUp: (connection: NodeConnection) => Promise<void>;
  onDown: (error: EslError, report: DownReport) => void;
  probeIntervalMs: number;
  probeTimeoutMs: number;
  random: () => number;
  /** Follows the node's clock through all connections, one after the other. */
  clock?: EventClock;
  connectTimeoutMs?: number; // 5000
  firstPauseMs?: number; // 200
  longestPauseMs?: number; // 10000
  /** After so many failures in a row pauses grow on, up to this. */
  patience?: { afterFailures: number; longestPauseMs: number };
}

export interface NodeLink {
  /** The connection, once onUp has run through. */
  connection(): NodeConnection | undefined;
  /** Closes, and resolves when nothing of the link runs any more. */
  stop(): Promise<void>;
}

/** The pause before the next attempt: doubling, capped, and between half and all of it at random. */
export function pauseBefore(failures: number, firstMs: number, longestMs: number, random: () => number): number {
  const full = backoffMs(failures, { firstMs, longestMs });
  return Math.round(full / 2 + (full / 2) * random());
}

const longestPause = (failures: number, { longestPauseMs = 10_000, patience }: NodeLinkOptions): number =>
  patience && failures > patience.afterFailures ? patience.longestPauseMs : longestPauseMs;

/** Starts connecting at once, and goes on until it is stopped. */
export function createNodeLink(o: NodeLinkOptions): NodeLink {
  const stopping = new AbortController();
  let current: NodeConnection | undefined;
  let failures = 0;

  async function openOnce(): Promise<NodeConnection> {
    const password = typeof o.password === 'function' ? await o.password() : o.password;
    const { host, port, logger, clock, connectTimeoutMs = 5000 } = o;
    return openConnection({ host, port, password, connectTimeoutMs, logger, clock, signal: stopping.signal });
  }

  /** From connecting to the end of that connection. @returns why it ended, and whether it had worked. */
  async function liveOnce(): Promise<{ error: EslError; wasUp: boolean }> {
    let connection: NodeConnection | undefined;
    let wasUp = false;
    const close = (): void => connection?.close();
    try {
      const opened = (connection = await openOnce());
      const closed = new Promise<ConnectionLost>((resolve) => opened.onClosed(resolve));
      stopping.signal.addEventListener('abort', close, { once: true });
      if (stopping.signal.aborted) close();
      await Promise.race([o.onUp(opened), closed.then((lost) => Promise.reject(asError(lost)))]);
      current = opened;
      wasUp = opened.isOpen;
      if (wasUp) failures = 0;
      const stopProbing = keepProbing(opened, o);
      const lost = await closed;
      stopProbing();
      return { error: asError(lost), wasUp };
    } catch (cause) {
      const error =
        cause instanceof EslError ? cause : new EslError('bad_reply', 'Taking the node up failed', { cause });
      return { error, wasUp };
    } finally {
      current = undefined;
      stopping.signal.removeEventListener('abort', close);
      close();
    }
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      const { error, wasUp } = await liveOnce();
      if (stopping.signal.aborted) return;
      failures += 1;
      const retryInMs = pauseBefore(failures, o.firstPauseMs ?? 200, longestPause(failures, o), o.random);
      tell(error, { wasUp, failures, retryInMs });
      await sleep(retryInMs, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  }

  function tell(error: EslError, report: DownReport): void {
    try {
      o.onDown(error, report);
    } catch (err) {
      o.logger.error({ err }, 'the listener of a lost node failed');
    }
  }

  const running = run();
  return {
    connection: () => (current?.isOpen ? current : undefined),
    stop: () => {
      stopping.abort();
      return running;
    },
  };
}

function asError(lost: ConnectionLost): EslError {
  return new EslError(lost.kind === 'closed' ? 'lost' : lost.kind, lost.detail);
}

/** A frozen node keeps its sockets open: only an answer in time tells that it lives. A missed one closes the connection. */
function keepProbing(connection: NodeConnection, o: NodeLinkOptions): () => void {
  let timer: NodeJS.Timeout;
  let stopped = false;
  const next = (): void => {
    if (stopped) return;
    timer = setTimeout(() => {
      connection.api(probe(), { timeoutMs: o.probeTimeoutMs }).then(next, () => undefined);
    }, o.probeIntervalMs);
  };
  next();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
