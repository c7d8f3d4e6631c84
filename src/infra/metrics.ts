/** The figures of one replica that others count in: made once, so that every part adds to the same registry. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { storeClock } from './store-clock';

/** What reconciliation found on one side and missed on the other. */
export const ORPHAN_KINDS = [
  'channel', // a node has it, and no live call
  'row', // a live leg that its node does not have
  'max_duration', // a call that was answered too long ago
  'claim', // capacity held for nothing
  'lease', // a room held by no living session
  'session', // a live room that its node does not have
  'member', // in a room on one side only
  'twin', // a room on a node that must not run it
  'attempt', // over, and nobody had said so
  'unadmitted', // answered, and no dialplan answer had let it in
  'adopted', // people talk whose call was over, or unknown: it goes on in the rows as well
  'unexplained', // people talk, and nobody can say whose call it is: they are left alone
] as const;
export type OrphanKind = (typeof ORPHAN_KINDS)[number];

/** What a node reports and is not believed: it is about something of another node's, or can't be true. */
export const REFUSED_REPORTS = [
  'leg', // a channel that another node has
  'new_leg', // a channel of a call that the node has nothing to do with
  'registration', // a phone of somebody whose password nobody has proved there
  'caller', // a call of such a person
  'record', // the call record of such a channel
  'room', // a room that another node holds, or somebody who is not in its room
  'recording', // a file of another node's
  'time', // before it began, or in the future: it was moved
  'plan', // where a channel goes that is not the node's
  'user_call', // the way to somebody whom no call of the node is for
  'ticket', // the way into a room, for another channel or a second time
  'token', // a call between nodes, a second time
] as const;
export type RefusedReport = (typeof REFUSED_REPORTS)[number];

/** Told wherever one is found and settled. */
export type CountOrphan = (kind: OrphanKind, count?: number) => void;

/** What somebody guessed at. */
export const FAILURE_KINDS = ['password', 'unknown_user', 'pin', 'api'] as const;
export type FailureKind = (typeof FAILURE_KINDS)[number];

export interface Metrics {
  registry: Registry;
  countOrphan: CountOrphan;
  /** A node asked for far more users than it has phones and calls. */
  countSuspiciousNode(): void;
  /** A node was not believed. */
  countRefusedReport(about: RefusedReport): void;
  /** A node's event was taken in. @param kind of few words: channel, room, heartbeat … */
  countNodeEvent(kind: string): void;
  /** A node's question was answered. */
  countXmlAnswer(kind: string): void;
  /** From the desired state for a node to the node, or to "none". */
  observePlacement(seconds: number, found: boolean): void;
  /** From a call's entry into the queue until its first turn. */
  observeQueue(seconds: number): void;
  countCanary(ok: boolean): void;
  /** Somebody showed a password, PIN or key that is none. */
  countFailure(kind: FailureKind): void;
  /** A login was refused for those before it. */
  countRefusal(why: 'banned' | 'slowed'): void;
  /** Something was refused since its domain has used up a quota. */
  countQuotaRefusal(quota: string): void;
}

export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const counter = (name: string, help: string, label: string) =>
    new Counter({ name: `switchyard_${name}`, help, labelNames: [label], registers });
  const orphans = counter('orphans_total', 'Found on one side and missing on the other, and settled.', 'kind');
  for (const kind of ORPHAN_KINDS) orphans.inc({ kind }, 0); // so that a rise from none is seen
  const refused = counter(
    'node_reports_refused_total',
    'What nodes reported and was not theirs, or not true.',
    'about',
  );
  for (const about of REFUSED_REPORTS) refused.inc({ about }, 0);
  const suspicious = new Counter({
    name: 'switchyard_nodes_suspicious_total',
    help: 'Nodes that ask for far more users than their phones and calls explain.',
    registers,
  });
  const nodeEvents = counter('node_events_total', 'Events of nodes taken in by this replica.', 'kind');
  const xmlAnswers = counter('xml_answers_total', "Nodes' questions answered by this replica.", 'kind');
  const canaryScheduler = counter('canaries_total', 'Synthetic calls by this replica.', 'result');
  const failures = counter(
    'login_failures_total',
    'Passwords, PINs and keys that were wrong, at this replica.',
    'kind',
  );
  for (const kind of FAILURE_KINDS) failures.inc({ kind }, 0);
  const refusals = counter('logins_refused_total', 'Logins refused for those before them, by this replica.', 'why');
  for (const why of ['banned', 'slowed']) refusals.inc({ why }, 0);
  const quotaRefusals = counter('quota_refusals_total', 'Refused since a domain has used up a quota.', 'quota');
  const waits = new Histogram({
    name: 'switchyard_queue_seconds',
    help: "From a call's entry into the queue until its first turn, where both were at this replica.",
    buckets: [0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  });
  const placements = new Histogram({
    name: 'switchyard_placement_seconds',
    help: 'Time to select and claim a node.',
    labelNames: ['result'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5],
    registers,
  });
  new Gauge({
    name: 'switchyard_machine_clock_offset_seconds',
    help: "By how much this replica's machine is ahead of the database's clock, which all replicas use.",
    registers,
    collect() {
      this.set(storeClock.machineOffsetMs() / 1000);
    },
  });
  return {
    registry,
    countOrphan: (kind, count = 1) => orphans.inc({ kind }, count),
    countSuspiciousNode: () => suspicious.inc(),
    countRefusedReport: (about) => refused.inc({ about }),
    countNodeEvent: (kind) => nodeEvents.inc({ kind }),
    countXmlAnswer: (kind) => xmlAnswers.inc({ kind }),
    observeQueue: (seconds) => waits.observe(seconds),
    observePlacement: (seconds, found) => placements.observe({ result: found ? 'placed' : 'no_node' }, seconds),
    countFailure: (kind) => failures.inc({ kind }),
    countRefusal: (why) => refusals.inc({ why }),
    countQuotaRefusal: (quota) => quotaRefusals.inc({ quota }),
    countCanary: (ok) => canaryScheduler.inc({ result: ok ? 'ok' : 'failed' }),
  };
}

/** Whether each thing that the whole needs is there, for an alert: 1 or 0, as /readyz says it. */
export function registerChecks(
  registry: Registry,
  names: readonly string[],
  read: () => Promise<Record<string, boolean | string>>,
): void {
  const gauge: Gauge = new Gauge({
    name: 'switchyard_check',
    help: "Whether a dependency of the pool works (1) or not (0); what couldn't be checked is left out.",
    labelNames: ['check'],
    registers: [registry],
    async collect() {
      const checks = await read();
      gauge.reset();
      for (const name of names) if (name in checks) gauge.set({ check: name }, checks[name] === true ? 1 : 0);
    },
  });
}
