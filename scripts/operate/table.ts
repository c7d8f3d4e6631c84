/** Writes the pool down so that a person sees at once what is where: pure text, no colours to get lost in a log. */
import { isQuiet, type PoolAnswer, type PoolNode, type SimulateAnswer } from './pool-api';
import type { KeptNode } from './kept';

/** The first column and those named are flush left, numbers flush right. */
export function alignColumns(rows: readonly (readonly string[])[], left: readonly number[] = [0]): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => [...(row[i] ?? '')].length)));
  const lines = rows.map((row) =>
    row.map((cell, i) => (left.includes(i) ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  '),
  );
  return lines.map((line) => line.trimEnd()).join('\n');
}

const amount = (value: number): string => String(Math.round(value * 10) / 10);
const time = (iso: string): string => new Date(iso).toTimeString().slice(0, 5);

/** How long ago, in the largest unit that says enough. */
function ago(iso: string | null, nowMs: number): string {
  if (iso === null) return 'never';
  const seconds = Math.max(0, Math.round((nowMs - Date.parse(iso)) / 1000));
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

function noteOf(node: PoolNode, kept: KeptNode | undefined, nowMs: number): string {
  const notes: string[] = [];
  if (node.state === 'pending') notes.push(`waits for you: ./scripts/pool approve ${node.name}`);
  if (node.state === 'down') notes.push(node.downReason ?? 'down');
  const fault = node.connectionFault;
  if (fault && fault.kind !== node.downReason) notes.push(fault.kind);
  if (fault) notes.push(`for ${ago(fault.since, nowMs)}: ${fault.why}`);
  if (node.silent) notes.push('silent: its last report is too old');
  if (node.health?.healthy === false) notes.push(`not well: ${node.health.reason ?? 'no reason known'}`);
  if (node.clock?.skewed) notes.push(node.clock.note ?? 'its clock is wrong');
  if (node.lacks) notes.push(node.lacks.note);
  if (node.saturated) notes.push(node.saturated === 'full' ? 'saturated: was full' : 'saturated: processor was busy');
  if (node.state === 'draining' && node.registrations > 0 && isQuiet(node))
    notes.push(`empty but for ${node.registrations === 1 ? '1 phone' : `${node.registrations} phones`}`);
  if (node.drainDeadlineAt) {
    const isPast = Date.parse(node.drainDeadlineAt) < nowMs;
    notes.push(
      isPast
        ? `should have been empty by ${time(node.drainDeadlineAt)}`
        : `until ${time(node.drainDeadlineAt)}${kept?.leaving ? ', then removed' : ''}`,
    );
  }
  if (node.effectiveUnits !== node.capacityUnits) notes.push(`declares ${amount(node.capacityUnits)} units`);
  if (kept) notes.push(kept.provider === 'process' ? `${kept.kind}, process ${kept.pid}` : kept.provider);
  return notes.join('; ');
}

const HEAD = [
  'NODE',
  'STATE',
  'ZONE',
  'CALLS',
  'ROOMS',
  'PHONES',
  'UNITS',
  'IDLE CPU',
  'CHANNELS',
  'SEEN',
  'VERSION',
  'NOTE',
];

/** What a narrow terminal can do without, the first first. */
const SPARE = ['VERSION', 'CHANNELS', 'ZONE', 'SEEN', 'PHONES', 'ROOMS'];
const LEFT = ['NODE', 'STATE', 'ZONE', 'VERSION', 'NOTE'];

/** Notes go below the table where they don't fit beside it, and then columns go that can be spared. */
function fitTable(rows: string[][], columns: number): string {
  const below: string[] = [];
  let shown = rows;
  const draw = (): string =>
    alignColumns(
      shown,
      shown[0]!.flatMap((head, i) => (LEFT.includes(head) ? [i] : [])),
    );
  const isTooWide = (): boolean =>
    draw()
      .split('\n')
      .some((line) => [...line].length > columns);
  const drop = (head: string): void => {
    const at = shown[0]!.indexOf(head);
    shown = shown.map((row) => row.filter((_, i) => i !== at));
  };
  if (isTooWide()) {
    below.push(...rows.slice(1).flatMap((row) => (row.at(-1) ? [`${row[0]}: ${row.at(-1)}`] : [])));
    drop('NOTE');
  }
  for (const head of SPARE) if (isTooWide()) drop(head);
  return [draw(), ...below].join('\n');
}

/** @param columns how wide the terminal is; left out: as wide as it takes */
export function poolTable(
  pool: PoolAnswer,
  kept: readonly KeptNode[],
  nowMs: number,
  columns = Number.POSITIVE_INFINITY,
): string {
  const byName = new Map(kept.map((node) => [node.name, node]));
  const units = (claimed: number | null, of: number): string =>
    `${claimed === null ? '?' : amount(claimed)}/${amount(of)}`;
  const sorted = [...pool.nodes].sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
  const rows = sorted.map((node) => [
    node.name,
    node.state,
    node.zone || '–',
    String(node.liveCalls),
    String(node.rooms),
    String(node.registrations),
    units(node.claimedUnits, node.effectiveUnits),
    node.state === 'down' ? '–' : `${Math.round(node.idleCpuPercent)} %`,
    `${node.sessions}/${node.maxSessions}`,
    ago(node.reportedAt, nowMs),
    node.version ?? '–',
    noteOf(node, byName.get(node.name), nowMs),
  ]);
  const { total, recommendation: r } = pool;
  const sum = [
    total.nodes === 1 ? '1 node' : `${total.nodes} nodes`,
    `${total.serving} serving`,
    '',
    String(total.liveCalls),
    String(total.rooms),
    String(total.registrations),
    units(total.claimedUnits, total.effectiveUnits),
    '',
    String(total.sessions),
  ];
  const lost = kept.filter((node) => !pool.nodes.some((n) => n.name === node.name));
  return [
    fitTable([HEAD, ...rows, sum.concat(['', '', ''])], columns),
    '',
    `Policy ${pool.policy}. ${adviceOf(r)}`,
    ...lost.map(
      (node) => `${node.name} was started here, and Switchyard does not know it: scripts/pool remove ${node.name}`,
    ),
  ].join('\n');
}

function adviceOf(r: PoolAnswer['recommendation']): string {
  const what =
    r.action === 'keep'
      ? 'Keep the pool as it is'
      : r.action === 'grow'
        ? `Add ${r.count}`
        : `Take away ${r.nodes.join(', ')}`;
  return `${what}: ${r.why}`;
}

export function simulateTable(answer: SimulateAnswer): string {
  const rows = answer.nodes.map((n) => [
    n.node,
    n.change === 'none' ? '' : n.change,
    `${amount(n.unitsBefore)}/${amount(n.capacityUnits)}`,
    n.change === 'removed' ? '–' : `${amount(n.unitsAfter)}/${amount(n.capacityUnits)}`,
    n.calls ? `+${n.calls}` : '',
    n.rooms ? `+${n.rooms}` : '',
  ]);
  const head = ['NODE', 'CHANGE', 'UNITS NOW', 'THEN', 'CALLS', 'ROOMS'];
  return [alignColumns([head, ...rows], [0, 1]), '', ...answer.explanation].join('\n');
}
