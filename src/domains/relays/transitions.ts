/** Writes down what became of a relay, with its event: every change names the state it may come from. */
import type { Db } from '../../infra/stores/db';
import { storeClock } from '../../infra/store-clock';
import type { EventLog } from '../events/events';
import { findSession, type SessionRow } from '../rooms/sessions/sessions.store';
import { closeGap, decideAfterFailure, endGapWithRoom, openGap } from './state-machine';
import { draftRelayEvent } from './relay-events';
import { lockRelay, updateRelay, type RelayChange, type RelayRow } from './relays.store';
import type { SendingEnd } from './relay-session';

export interface SettleRelayDeps {
  db: Db;
  log: EventLog;
  replicaId: string;
}

/** A session that ended so has a successor, or should have: what is missing until then is a gap. */
const INTERRUPTED: readonly string[] = ['moved', 'node_died', 'lost', 'superseded'];

/** One state to the next, with its event. */
export async function moveRelay(
  deps: SettleRelayDeps,
  id: string,
  expected: readonly RelayRow['state'][],
  state: RelayRow['state'],
  change: RelayChange,
): Promise<void> {
  await deps.log.record(async (trx, emit) => {
    if (!(await updateRelay(trx, id, expected, { ...change, state }))) return;
    const row = await lockRelay(trx, id);
    if (row) emit(draftRelayEvent(row, state, { node: row.node_name }));
  });
}

/** It flows: a gap that was open ends here. */
export async function settleLive(deps: SettleRelayDeps, id: string): Promise<void> {
  await deps.log.record(async (trx, emit) => {
    const relay = await lockRelay(trx, id);
    if (relay?.state !== 'starting') return;
    const at = storeClock.now();
    const { gaps, closed, ms } = closeGap(relay.gaps, at);
    await updateRelay(trx, id, ['starting'], {
      state: 'live',
      live_since: at,
      flowed_at: at,
      first_live_at: relay.first_live_at ?? at,
      last_fault: null,
      gaps,
      gap_ms: Number(relay.gap_ms) + ms,
    });
    emit(draftRelayEvent(relay, 'live', { node: relay.node_name, gap: closed ?? null }));
  });
}

/** What a sending leaves behind when it ends: a stopped relay, one that waits for its room, or one that is tried again. */
export async function settleEnd(deps: SettleRelayDeps, id: string, sessionId: string, end: SendingEnd): Promise<void> {
  const session = await findSession(deps.db, sessionId);
  await deps.log.record(async (trx, emit) => {
    const relay = await lockRelay(trx, id);
    if (!relay || relay.owner_id !== deps.replicaId || relay.state === 'stopped' || relay.state === 'failed') return;
    if (relay.desired === 'stopped') return; // the next look settles it
    const at = storeClock.now();
    const isOver = !session || session.state === 'ended';
    if (end.stopped || isOver) {
      const reason = isOver ? `the session ended (${session?.end_reason ?? 'gone'})` : 'another replica takes it over';
      await updateRelay(trx, id, [relay.state], waitAgain(relay, session, reason, at));
      emit(draftRelayEvent(relay, 'waiting', { reason }));
      return;
    }
    const next = decideAfterFailure(relay, at, end.side === 'process');
    const began = relay.live_since ? lastFlow(relay, at) : (relay.first_live_at && at) || relay.created_at;
    const gaps = openGap(relay.gaps, began, end.fault);
    if (next.state === 'failed') {
      const closed = closeGap(gaps, at);
      await updateRelay(trx, id, [relay.state], {
        state: 'failed',
        desired: 'stopped',
        tries: next.tries,
        last_fault: end.fault,
        live_since: null,
        gaps: closed.gaps,
        gap_ms: Number(relay.gap_ms) + closed.ms,
        ended_at: at,
        next_try_at: null,
      });
      emit(draftRelayEvent(relay, 'failed', { reason: end.fault, tries: next.tries, maxRestarts: relay.max_restarts }));
      return;
    }
    await updateRelay(trx, id, [relay.state], {
      state: 'restarting',
      tries: next.tries,
      restarts: next.restarts,
      next_try_at: next.nextTryAt,
      last_fault: end.fault,
      live_since: null,
      gaps,
    });
    const data = { reason: end.fault, restarts: next.restarts, nextTryAt: next.nextTryAt.toISOString() };
    emit(draftRelayEvent(relay, 'restarting', { ...data, gap: gaps.at(-1) ?? null }));
  });
}

/** Waits for the room. What was to go on is missing until it does; what was over leaves no gap. */
function waitAgain(relay: RelayRow, session: SessionRow | undefined, reason: string, at: Date): RelayChange {
  const isMeetingOver = session?.state === 'ended' && !INTERRUPTED.includes(session.end_reason!);
  const ended = endGapWithRoom(relay.gaps, session?.ended_at ?? at);
  const isGap = relay.live_since !== null && !isMeetingOver;
  return {
    state: 'waiting',
    live_since: null,
    next_try_at: null,
    tries: 0,
    ...(isMeetingOver ? { gaps: ended.gaps, gap_ms: Number(relay.gap_ms) + ended.ms } : {}),
    ...(isGap ? { gaps: openGap(relay.gaps, lastFlow(relay, at), reason) } : {}),
  };
}

/** A gap begins where the target last took something, not where that was noticed. */
function lastFlow(relay: RelayRow, at: Date): Date {
  return relay.flowed_at && relay.flowed_at < at ? relay.flowed_at : at;
}

/** The room is not there now. An attempt a replica left unfinished ends here as well. */
export async function settleWaiting(deps: SettleRelayDeps, id: string, now: Date): Promise<void> {
  await deps.log.record(async (trx, emit) => {
    const relay = await lockRelay(trx, id);
    if (!relay || relay.state === 'waiting' || relay.ended_at) return;
    const session = relay.session_id ? await findSession(trx, relay.session_id) : undefined;
    const reason = 'the room is on no node now';
    await updateRelay(trx, id, [relay.state], waitAgain(relay, session, reason, now));
    emit(draftRelayEvent(relay, 'waiting', { reason }));
  });
}

/** Nothing is sent any more, and nothing shall be. */
export async function settleStopped(deps: SettleRelayDeps, id: string): Promise<void> {
  await deps.log.record(async (trx, emit) => {
    const relay = await lockRelay(trx, id);
    if (!relay || relay.ended_at) return;
    const at = storeClock.now();
    const { gaps, ms } = closeGap(relay.gaps, at);
    const gapMs = Number(relay.gap_ms) + ms;
    await updateRelay(trx, id, [relay.state], {
      state: 'stopped',
      ended_at: at,
      live_since: null,
      gaps,
      gap_ms: gapMs,
    });
    emit(draftRelayEvent(relay, 'stopped', { node: relay.node_name }));
  });
}
