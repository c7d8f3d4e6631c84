/** The one shape in which the index.ts of a domain hands it to main. A domain leaves out what it does not have. */
import type { HeartbeatEvent, NodeConnection, NodeEvent } from '../freeswitch/esl';
import type { Route } from '../infra/route';
import type { NodeRow } from './nodes/nodes.store';

export interface Domain {
  /** Its part of the REST API. */
  routes?: Route[];
  /** What it does with what nodes report; main says in which order domains hear of it. */
  handlers?: NodeHandlers;
  /** What one replica at a time does again and again, in the order of the list. Schedules of its own are not told. */
  sweeps?: Sweep[];
  /** Ends all that it does by itself. */
  stop?(): Promise<void> | void;
}

/** Each may be called twice with the same: it must not matter. */
export interface NodeHandlers {
  /** The node runs as another process: what it had is gone. */
  onRestarted?(node: NodeRow, coreUuid: string): Promise<void>;
  /** After every (re)connect, before any event: what is there is reconciled with what is known. */
  onSnapshot?(node: NodeRow, connection: NodeConnection): Promise<void>;
  onEvent?(node: NodeRow, event: NodeEvent): Promise<void>;
  onReport?(node: NodeRow, report: HeartbeatEvent): Promise<void>;
  onDown?(node: NodeRow, reason: string): Promise<void>;
}

export interface Sweep {
  name: string;
  run(now: Date): Promise<unknown>;
}
