/** A recording as the API shows it, with its ledger. */
import { z } from 'zod';
import type { Queryable } from '../../infra/stores/db';
import { drawLedger } from './ledger';
import { listParts, type PartRow } from './parts.store';
import { listGaps, type GapRow, type RecordingRow } from './recordings.store';
import { instant, presentInstant } from '../../infra/text/instants';

const partSchema = z.object({
  number: z.number().int(),
  id: z.uuid(),
  state: z.enum(['starting', 'recording', 'stopping', 'uploading', 'stored', 'absent', 'failed', 'deleted']),
  node: z.string(),
  startedAt: instant,
  endedAt: instant,
  endReason: z.string().nullable(),
  seconds: z.number().nullable().describe('From the file itself; until it is uploaded, from the node.'),
  bytes: z.number().int().describe('Of the finished file; while it is written, the last size seen.'),
  stalled: z.boolean().describe("The file should grow but doesn't."),
  sha256: z.string().nullable(),
  playable: z.boolean().nullable().describe('Whether the file can be played; null until it is uploaded.'),
  uploadTries: z.number().int(),
  fault: z.string().nullable(),
});

export const recordingSchema = z
  .object({
    id: z.uuid(),
    domain: z.string(),
    kind: z.enum(['room', 'call']),
    roomId: z.uuid().nullable(),
    callId: z.uuid().nullable(),
    format: z.enum(['mp4', 'wav']),
    origin: z.enum(['api', 'room']),
    desired: z.enum(['recording', 'paused', 'stopped']),
    state: z
      .enum([
        'starting',
        'recording',
        'interrupted',
        'paused',
        'stopping',
        'uploading',
        'completed',
        'absent',
        'failed',
      ])
      .describe(
        "interrupted: it should be recording but isn't, and resumes when possible. failed: some of it is lost.",
      ),
    reason: z.string().nullable(),
    createdAt: z.iso.datetime(),
    startedAt: instant,
    endedAt: instant,
    completedAt: instant,
    expiresAt: instant,
    deletedAt: instant,
    expectedSeconds: z.number().describe('From start to end, without requested pauses and holds.'),
    recordedSeconds: z.number(),
    completeness: z.number().min(0).max(1).describe('recordedSeconds / expectedSeconds.'),
    bytes: z.number().int(),
    parts: z.array(partSchema),
    gaps: z.array(
      z.object({
        reason: z
          .enum([
            'paused',
            'interrupted',
            'node_died',
            'moved',
            'stalled',
            'held',
            'absent',
            'failed',
            'damaged',
            'not_written',
          ])
          .describe('held: on hold, nothing to write. not_written: the node was frozen, or killed before the end.'),
        from: z.iso.datetime(),
        to: instant,
        seconds: z.number().describe('How much of this time is missing.'),
        part: z.number().int().nullable().describe('The part whose file is missing or incomplete.'),
      }),
    ),
    metadata: z.record(z.string(), z.string()),
  })
  .meta({ id: 'Recording' });

export type RecordingView = z.output<typeof recordingSchema>;

const seconds = (ms: string | null): number | null => (ms === null ? null : Math.round(Number(ms) / 100) / 10);
const bytesOf = (part: PartRow): number => Number(part.bytes ?? part.seen_bytes);

function presentRecording(
  row: RecordingRow,
  parts: readonly PartRow[],
  gaps: readonly GapRow[],
  nowMs: number,
): RecordingView {
  const ledger = drawLedger(row, parts, gaps, nowMs);
  return {
    id: row.id,
    domain: row.domain_name,
    kind: row.kind,
    roomId: row.room_id,
    callId: row.call_id,
    format: row.format,
    origin: row.origin,
    desired: row.desired,
    state: row.state,
    reason: row.reason,
    createdAt: row.created_at.toISOString(),
    startedAt: presentInstant(row.started_at),
    endedAt: presentInstant(row.ended_at),
    completedAt: presentInstant(row.completed_at),
    expiresAt: presentInstant(row.expires_at),
    deletedAt: presentInstant(row.deleted_at),
    expectedSeconds: ledger.expectedSeconds,
    recordedSeconds: ledger.recordedSeconds,
    completeness: ledger.completeness,
    bytes: parts.reduce((total, part) => total + bytesOf(part), 0),
    parts: parts.map((part) => ({
      number: part.number,
      id: part.id,
      state: part.state,
      node: part.node_name,
      startedAt: presentInstant(part.started_at),
      endedAt: presentInstant(part.ended_at),
      endReason: part.end_reason,
      seconds: seconds(part.media_ms ?? part.node_ms),
      bytes: bytesOf(part),
      stalled: part.stalled,
      sha256: part.sha256,
      playable: part.playable,
      uploadTries: part.tries,
      fault: part.fault,
    })),
    gaps: ledger.missing.map((gap) => ({
      reason: gap.reason,
      seconds: Math.round(gap.ms / 100) / 10,
      from: gap.from.toISOString(),
      to: presentInstant(gap.to),
      part: gap.part,
    })),
    metadata: row.metadata,
  };
}

/** Several at once, with two more queries however many they are. */
export async function presentRecordings(
  db: Queryable,
  rows: readonly RecordingRow[],
  nowMs: number,
): Promise<RecordingView[]> {
  const ids = rows.map((row) => row.id);
  const parts = await listParts(db, ids);
  const gaps = await listGaps(db, ids);
  return rows.map((row) =>
    presentRecording(
      row,
      parts.filter((part) => part.recording_id === row.id),
      gaps.filter((gap) => gap.recording_id === row.id),
      nowMs,
    ),
  );
}
