/** Looks every few seconds whether files that should grow do: a recording that stands still is said, not found out later. */
import type { Trx } from '../../../infra/stores/db';
import { askNode, endUnseen, stepRecording } from './reconcile';
import { changeRecording, draftRecordingEvent, openGap, type RecordingDeps } from './transition';
import { explainStandstill, isWritten, weigh, type Ask } from './node-files';
import { takePartsToWatch, updatePart, type PartRow } from '../parts.store';
import { closeGaps, listGaps } from '../recordings.store';

/** How often each file is looked at, by whichever replica comes first. */
const LOOK_EVERY_MS = 4000;
const PARTS_AT_ONCE = 500;
/**
 * FreeSWITCH writes sound in blocks of 64 kB, four seconds of a narrow-band call; mod_av holds up to ten seconds of
 * sound back where no video comes.
 */
const STILL_MS = { wav: 15_000, mp4: 30_000 } as const;

/** What a look at a file means. */
export function decideGrowth(
  part: Pick<PartRow, 'format' | 'seen_bytes' | 'grown_at' | 'started_at' | 'stalled'>,
  bytes: number | undefined,
  nowMs: number,
): 'grows' | 'grows again' | 'still' | 'stalls now' {
  if (bytes !== undefined && bytes > Number(part.seen_bytes)) return part.stalled ? 'grows again' : 'grows';
  const sinceMs = (part.grown_at ?? part.started_at)?.getTime() ?? nowMs;
  return !part.stalled && nowMs - sinceMs > STILL_MS[part.format] ? 'stalls now' : 'still';
}

/** Runs on every replica; each file is looked at by one of them. */
export async function watchGrowth(deps: RecordingDeps): Promise<void> {
  const now = new Date(deps.now());
  const before = new Date(now.getTime() - LOOK_EVERY_MS);
  const parts = await takePartsToWatch(deps.db, before, now, PARTS_AT_ONCE);
  const byNode = new Map<string, PartRow[]>();
  for (const part of parts) {
    if (part.node_id) byNode.set(part.node_id, [...(byNode.get(part.node_id) ?? []), part]);
  }
  await Promise.all(
    [...byNode].map(async ([nodeId, onNode]) => {
      if (!deps.links.isUp(nodeId)) return; // said by the node's own state
      await watchNode(deps, askNode(deps, nodeId), onNode).catch((error: unknown) => {
        deps.logger.warn({ err: error, nodeId }, 'the recordings of a node could not be looked at');
      });
    }),
  );
}

async function watchNode(deps: RecordingDeps, ask: Ask, parts: readonly PartRow[]): Promise<void> {
  const sizes = await weigh(
    ask,
    parts.map((part) => part.path),
  );
  for (const part of parts) {
    const bytes = sizes.get(part.path);
    const seen = decideGrowth(part, bytes, deps.now());
    if (seen === 'grows' || seen === 'grows again') await noteGrowth(deps, part, bytes!, seen === 'grows again');
    else if (!(await isWritten(ask, part))) {
      await endUnseen(deps, part, ask);
      await stepRecording(deps, part.recording_id);
    } else if (seen === 'stalls now') await noteStandstill(deps, part, ask);
  }
}

/** As it is now: a node that takes long to answer is asked by the next look as well, and what changed is said once. */
const isStalled = (parts: readonly PartRow[], part: PartRow): boolean =>
  parts.find(({ id }) => id === part.id)?.stalled === true;

const isOnHold = async (trx: Trx, recordingId: string): Promise<boolean> =>
  (await listGaps(trx, [recordingId])).some((gap) => gap.reason === 'held' && gap.to_at === null);

async function noteGrowth(deps: RecordingDeps, part: PartRow, bytes: number, again: boolean): Promise<void> {
  const at = new Date(deps.now());
  const change = { seen_bytes: String(bytes), grown_at: at, stalled: false };
  if (!again) return void (await updatePart(deps.db, part.id, ['recording'], change));
  await changeRecording(deps, part.recording_id, async ({ trx, emit, recording, parts }) => {
    if (!isStalled(parts, part)) return;
    if (!(await updatePart(trx, part.id, ['recording'], { ...change, fault: null }))) return;
    await closeGaps(trx, recording.id, at, ['stalled']);
    emit(draftRecordingEvent('recording.grows', recording, { part: part.number, node: part.node_name, bytes }));
  });
}

async function noteStandstill(deps: RecordingDeps, part: PartRow, ask: Ask): Promise<void> {
  const fault = (await explainStandstill(ask, part.path)) ?? 'the file does not grow';
  const since = part.grown_at ?? part.started_at ?? new Date(deps.now());
  await changeRecording(deps, part.recording_id, async ({ trx, emit, recording, parts }) => {
    if (isStalled(parts, part) || (await isOnHold(trx, recording.id))) return;
    if (!(await updatePart(trx, part.id, ['recording'], { stalled: true, fault }))) return;
    await openGap(trx, recording.id, 'stalled', since);
    const facts = { part: part.number, node: part.node_name, bytes: Number(part.seen_bytes), fault };
    emit(draftRecordingEvent('recording.stalled', recording, { ...facts, since: since.toISOString() }));
  });
}
