/** One authenticated connection to one node: typed commands in, typed events out, and a deadline on every wait. */
import type { Logger } from '../../infra/logger';
import type { ApiCommand } from './commands';
import type { NodeEvent } from './events';
import type { ConnectionLost } from './faults';
import type { Reply } from './replies';

export interface NodeConnection {
  /** Runs a command and waits for its answer. A missed deadline destroys the connection: answers carry no id. */
  api(command: ApiCommand, options: { timeoutMs: number }): Promise<Reply>;
  /** Runs a command in the node's background under a job id of our own; resolves with the job's result. */
  bgapi(command: ApiCommand, options: { jobId: string; timeoutMs: number }): Promise<Reply>;
  subscribe(names: string[], subclasses: string[]): Promise<void>;
  onEvent(listener: (event: NodeEvent) => void): () => void;
  /** Called once, also when the connection is already closed. */
  onClosed(listener: (reason: ConnectionLost) => void): () => void;
  /** Known after the first event. */
  readonly coreUuid?: string;
  readonly isOpen: boolean;
  close(): void;
}

export interface ConnectOptions {
  host: string;
  port: number;
  password: string;
  connectTimeoutMs: number;
  logger: Logger;
}

export declare function openConnection(o: ConnectOptions): Promise<NodeConnection>;
