/** Keeps one node connected: reconnects with growing, jittered pauses, and notices a peer that is frozen. */
import type { Logger } from '../../infra/logger';
import type { NodeConnection } from './connection';
import type { EslError } from './faults';

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
  /** Subscribe and take the snapshot here. If it throws, the connection is closed and made anew. */
  onUp: (connection: NodeConnection) => Promise<void>;
  onDown: (error: EslError, report: DownReport) => void;
  probeIntervalMs: number;
  probeTimeoutMs: number;
  random: () => number;
  connectTimeoutMs?: number; // 5000
  firstPauseMs?: number; // 200
  longestPauseMs?: number; // 10000
}

export interface NodeLink {
  /** The connection, once onUp has run through. */
  connection(): NodeConnection | undefined;
  /** Closes, and resolves when nothing of the link runs any more. */
  stop(): Promise<void>;
}

/** The pause before the next attempt: doubling, capped, and between half and all of it at random. */
export function pauseBefore(failures: number, first: number, longest: number, random: () => number): number {
  const full = Math.min(longest, first * 2 ** Math.min(failures - 1, 20));
  return Math.round(full / 2 + (full / 2) * random());
}

export declare function createNodeLink(o: NodeLinkOptions): NodeLink;
