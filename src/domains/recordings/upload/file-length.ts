/** What a file that has arrived says of its end, where nobody saw it: a node that was cut off may have written on. */
import type { Held } from '../control/transition';
import { updatePart, type PartRow } from '../parts.store';
import { shortenGaps, updateRecording } from '../recordings.store';

/** Less is the node's own start and end. */
const BEYOND_MS = 1000;

/** Where the file is longer than the time that was known, its end was later than was known. */
export async function noteLength(held: Held, part: PartRow, durationMs: number, now: Date): Promise<void> {
  const { trx, recording } = held;
  if (!part.started_at || !part.ended_at || part.node_ms !== null) return;
  const ends = new Date(Math.min(part.started_at.getTime() + durationMs, now.getTime()));
  if (ends.getTime() - part.ended_at.getTime() < BEYOND_MS) return;
  await updatePart(trx, part.id, ['stored'], { ended_at: ends });
  await shortenGaps(trx, recording.id, ends);
  if (recording.ended_at && recording.ended_at < ends)
    await updateRecording(trx, recording.id, ['stopped'], { ended_at: ends });
}

/** In words, for whoever finds the part that can't be played. */
export function explainDamage(part: Pick<PartRow, 'format' | 'bytes'>): string {
  const bytes = Number(part.bytes);
  if (bytes === 0) return "it can't be played: the file is empty";
  const lacks = part.format === 'mp4' ? 'its index, which is written at its end' : 'any sound';
  return `it can't be played: the file of ${bytes} bytes lacks ${lacks}; its node was stopped while it wrote, or its disk was full`;
}
