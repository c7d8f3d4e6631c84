/** Looks after calls that are placed or ring, for what no event and no answer told: asks nodes, ends again, and settles. */
import { channelExists } from '../../../freeswitch/esl';
import { findLastAttempt, listLegs, type AttemptRow } from '../calls.store';
import { hangUpAttempt } from './forked-legs';
import { ringsElsewhere } from '../events/call-end';
import { moveCall, type CallEndDeps } from '../events/move-calls';
import type { UnansweredRow } from '../reconcile/sweep.store';
import { decideUnanswered, YOUNG_MS, HANGUP_AGAIN_MS, type UnansweredCall, type UnansweredStep } from './decisions';

/** Looked at in one step of the sweep; the rest have their turn in the next ones. */
const MOST_AT_ONCE = 300;

export interface UnansweredWatch {
  /** @param rows all that are placed or ring, but those of phones that dialled themselves */
  step(rows: readonly UnansweredRow[], now: Date): Promise<void>;
}

interface Seen {
  lookedMs: number;
  goneMs: number | undefined;
}

export function createUnansweredWatch(deps: CallEndDeps): UnansweredWatch {
  let seen = new Map<string, Seen>();

  async function ask(attempt: AttemptRow): Promise<'there' | 'gone' | 'unknown'> {
    try {
      const { text } = await deps.links.api(attempt.node_id!, channelExists(attempt.leg_id));
      if (text.trim() === 'true') return 'there';
      return ringsElsewhere(await listLegs(deps.db, [attempt.call_id]), attempt) ? 'there' : 'gone';
    } catch {
      return 'unknown';
    }
  }

  async function check(row: UnansweredRow, nowMs: number): Promise<void> {
    const memory = seen.get(row.id) ?? { lookedMs: 0, goneMs: undefined };
    seen.set(row.id, { ...memory, lookedMs: nowMs });
    const attempt = await findLastAttempt(deps.db, row.id);
    if (!attempt?.node_id || attempt.ended_at) return;
    const known = describe(row, attempt);
    let step: UnansweredStep = decideUnanswered(known, nowMs);
    if (step.do === 'ask') {
      const says = await ask(attempt);
      const goneMs = says === 'gone' ? (memory.goneMs ?? nowMs) : undefined;
      seen.set(row.id, { lookedMs: nowMs, goneMs });
      step = decideUnanswered({ ...known, says, goneMs }, nowMs);
    }
    if (step.do === 'settle') {
      const over = { callId: row.id, legId: attempt.leg_id, cause: step.cause, at: new Date(nowMs) };
      await moveCall(deps, { kind: 'attempt_over', ...over });
    }
    if (step.do === 'hang up') {
      await hangUpAttempt(deps.links, attempt.node_id, attempt, 'ORIGINATOR_CANCEL').catch(() => undefined); // next time
    }
  }

  return {
    async step(rows, now) {
      const nowMs = now.getTime();
      const doubtful = rows.filter((row) => isDoubtful(row, nowMs));
      seen = new Map(doubtful.flatMap(({ id }) => (seen.has(id) ? [[id, seen.get(id)!] as const] : [])));
      const longest = doubtful.sort((a, b) => (seen.get(a.id)?.lookedMs ?? 0) - (seen.get(b.id)?.lookedMs ?? 0));
      await Promise.all(longest.slice(0, MOST_AT_ONCE).map((row) => check(row, nowMs)));
    },
  };
}

/** Whether there may be something to do, by what was read with all of them. */
const isDoubtful = (row: UnansweredRow, nowMs: number): boolean =>
  row.node_state === null ||
  row.node_state === 'down' ||
  (row.state === 'placing' && nowMs - (row.placing_at?.getTime() ?? 0) > YOUNG_MS) ||
  (row.hangup_requested_at !== null && nowMs - row.hangup_requested_at.getTime() > HANGUP_AGAIN_MS);

function describe(row: UnansweredRow, attempt: AttemptRow): UnansweredCall {
  const away = row.down_reason === 'refused' ? 'refused' : 'away';
  return {
    state: row.state === 'placing' ? 'placing' : 'ringing',
    placedMs: attempt.placed_at.getTime(),
    hangupRequestedMs: row.hangup_requested_at?.getTime(),
    node: row.node_state === null ? 'left' : row.node_state === 'down' ? away : 'up',
    awayMs: row.down_since?.getTime(),
    says: undefined,
    goneMs: undefined,
  };
}
