/** A call on hold has no sound to write: told as a gap of that name, and neither as something missing nor as a file that stands still. */
import type { NodeEvent } from '../../../freeswitch/esl';
import { findLeg } from '../../calls/calls.store';
import type { NodeRow } from '../../nodes/nodes.store';
import { boundTime } from '../../nodes/trust/bounded-time';
import { changeRecording, openGap, type RecordingDeps } from './transition';
import { updatePart } from '../parts.store';
import { closeGaps, findRunning } from '../recordings.store';

type ChannelEvent = Extract<NodeEvent, { type: 'channel' }>;

export const isHold = (event: NodeEvent): event is ChannelEvent =>
  event.type === 'channel' && (event.phase === 'held' || event.phase === 'unheld');

/** Either side's hold counts: what was written all the same is seen by the file's length. */
export async function handleHold(deps: RecordingDeps, node: NodeRow, event: ChannelEvent): Promise<void> {
  const leg = await findLeg(deps.db, event.legId);
  if (!leg || leg.node_id !== node.id) return;
  const running = await findRunning(deps.db, { callId: leg.call_id });
  if (!running) return;
  await changeRecording(deps, running.id, async ({ trx, recording, parts }) => {
    const part = parts.find(({ state }) => state === 'recording');
    if (!part?.started_at) return;
    const { at } = boundTime(event.atMs, part.started_at.getTime(), deps.now());
    if (event.phase === 'held') return openGap(trx, recording.id, 'held', at);
    await closeGaps(trx, recording.id, at, ['held']);
    // It has not stood still while it was on hold.
    await updatePart(trx, part.id, ['recording'], { grown_at: at });
  });
}
