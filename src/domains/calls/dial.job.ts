/** The job that dials a call: one for each call, until somebody has answered or it is over. It never dials twice. */
import { setTimeout as sleep } from 'node:timers/promises';
import { DelayedError, type Job } from '../../infra/queues';
import {
  channelExists,
  EslError,
  originateCall,
  userEndpoint,
  type ApiCommand,
  type Reply,
} from '../../freeswitch/esl';
import { ATTEMPT_VARIABLE, callerNameText } from '../../freeswitch/xml';
import type { NodeLinks } from '../nodes/links';
import { findNode } from '../nodes/nodes.store';
import { parseAddress } from './address';
import { findCall, findLastAttempt, lockCall, noteAttemptCore, type AttemptRow, type CallRow } from './calls.store';
import { hangUpAttempt, ringsElsewhere } from './carrier';
import { placeCall, type PlaceDeps } from './place';
import { silenceAttempt } from './silence';
import { endCall, settleAttempt } from './settle';

export interface DialDeps extends PlaceDeps {
  links: NodeLinks;
  commandTimeoutMs: number;
  /** Stops waiting when Switchyard stops; the job is then taken up by another replica, or at the next start. */
  signal: AbortSignal;
}

/** How often a call without a node looks again. */
const RETRY_PLACING_MS = 400;
const WATCH_MS = 250;
/** The event stream's connection may be up a moment before the one that commands. */
const REACH_MS = 1500;
/** An ended leg's event may be this much behind the answer to originate. */
const ANSWER_MARGIN_MS = 10_000;
/** How long a node that can't be asked may stay silent before the call is given up as lost. */
const UNKNOWN_LIMIT_MS = 20_000;

/** A channel that is gone has an event with its true cause under way: it is waited for this long. */
const GONE_LIMIT_MS = 3000;

/** The context in which our own originate lands; no profile leads into it. */
export const CALLS_CONTEXT = 'calls';

export async function runDialJob(deps: DialDeps, job: Job<{ callId: string }>, token?: string): Promise<void> {
  const { callId } = job.data;
  for (;;) {
    const call = await findCall(deps.db, callId);
    if (!call || call.state === 'ended' || call.state === 'answered') return;
    if (call.state !== 'queued') {
      const attempt = await findLastAttempt(deps.db, callId);
      if (!attempt) return;
      // Somebody placed it before us, and may or may not have dialled: only the node knows.
      await watchAttempt(deps, call, attempt, undefined);
      continue;
    }
    const last = await findLastAttempt(deps.db, callId);
    if (last?.hangup_cause === 'NODE_DIED') await silenceAttempt(deps, call, last);
    const placed = await placeCall(deps, call);
    if (placed.done === 'placed') {
      await dialAttempt(deps, call, placed.attempt);
      continue;
    }
    if (placed.done === 'no_node') {
      if (Date.now() > call.place_before.getTime()) {
        await endWithoutCapacity(deps, callId);
        return;
      }
      await job.moveToDelayed(Date.now() + RETRY_PLACING_MS, token);
      throw new DelayedError();
    }
    const again = await findCall(deps.db, callId);
    if (again?.state === 'queued' && again.hangup_requested_at) await endCancelled(deps, callId);
  }
}

async function endWithoutCapacity(deps: DialDeps, callId: string): Promise<void> {
  await deps.log.record(async (trx, emit) => {
    const call = await lockCall(trx, callId);
    if (call?.state !== 'queued') return;
    await endCall(trx, emit, call, { outcome: 'no_capacity', cause: null, at: new Date() });
  });
}

async function endCancelled(deps: DialDeps, callId: string): Promise<void> {
  await deps.log.record(async (trx, emit) => {
    const call = await lockCall(trx, callId);
    if (call?.state !== 'queued') return;
    await endCall(trx, emit, call, { outcome: 'cancelled', cause: 'ORIGINATOR_CANCEL', at: new Date() });
  });
}

/** What the caller's phone rings with; pure, and golden in its test. */
export function dialCommand(call: CallRow, attempt: AttemptRow): ApiCommand {
  const from = parseAddress(call.from_address);
  if (from.kind !== 'user') throw new Error(`a call from ${from.kind} can not be dialled`);
  const to = parseAddress(call.to_address);
  const shown = to.kind === 'user' ? to.username : to.kind === 'room' ? to.name : call.to_address;
  return originateCall({
    legId: attempt.leg_id,
    endpoint: userEndpoint(from.username, call.domain_name),
    variables: {
      switchyard_call_id: call.id,
      switchyard_leg: 'from',
      [ATTEMPT_VARIABLE]: attempt.leg_id,
      accountcode: call.id,
      origination_caller_id_number: shown,
      origination_caller_id_name: callerNameText(call.caller_name) || shown,
      // Inside user/ FreeSWITCH counts this one, not originate_timeout, and 60 s without it.
      call_timeout: String(call.ring_timeout_seconds),
      ignore_early_media: 'true',
    },
    ringTimeoutSeconds: call.ring_timeout_seconds,
    destination: { extension: shown, dialplan: 'XML', context: CALLS_CONTEXT },
  });
}

async function dialAttempt(deps: DialDeps, call: CallRow, placed: AttemptRow): Promise<void> {
  let attempt = placed;
  let result: Promise<Reply>;
  try {
    const command = dialCommand(call, attempt);
    const connection = await deps.links.reach(attempt.node_id!, REACH_MS);
    const core = deps.links.coreOf(connection);
    // The node was started again since it was chosen: what is known of the process before must not end this attempt.
    if (core !== undefined && core !== attempt.node_core_uuid) {
      if (!(await noteAttemptCore(deps.db, attempt.leg_id, core))) return;
      attempt = { ...attempt, node_core_uuid: core };
    }
    const timeoutMs = call.ring_timeout_seconds * 1000 + ANSWER_MARGIN_MS;
    result = connection.bgapi(command, { jobId: attempt.leg_id, timeoutMs });
  } catch (error) {
    deps.logger.warn({ err: error, callId: call.id, node: attempt.node_name }, 'a call could not be sent to its node');
    await settleAttempt(deps, attempt.leg_id, call.id, { cause: 'NODE_REFUSED', at: new Date() });
    return;
  }
  await watchAttempt(deps, call, attempt, result);
}

/**
 * Waits until the call is answered, over, or back in the queue. `result` is what originate will say; undefined where
 * somebody else sent it, or nobody did.
 */
async function watchAttempt(
  deps: DialDeps,
  call: CallRow,
  attempt: AttemptRow,
  result: Promise<Reply> | undefined,
): Promise<void> {
  const progress: { reply?: Reply; error?: unknown; settled: boolean } = { settled: result === undefined };
  result?.then(
    (reply) => Object.assign(progress, { reply, settled: true }),
    (error: unknown) => Object.assign(progress, { error, settled: true }),
  );
  const asked = { unknownSinceMs: undefined as number | undefined, hangupSent: false };
  let mustAsk = result === undefined;
  for (;;) {
    if (deps.signal.aborted) throw new Error('Switchyard stops; the call is watched on by the next to run');
    const now = await findCall(deps.db, call.id);
    const current = await findLastAttempt(deps.db, call.id);
    if (!now || now.state === 'ended' || now.state === 'answered' || now.state === 'queued') return;
    if (!current || current.number !== attempt.number || current.ended_at) return;
    attempt = current; // another phone of the caller's may carry it by now
    if (now.hangup_requested_at && !asked.hangupSent) asked.hangupSent = await sendHangup(deps, attempt);
    if (progress.settled && progress.reply && !progress.reply.ok) {
      await settleAttempt(deps, attempt.leg_id, call.id, { cause: progress.reply.cause, at: new Date() });
      return;
    }
    if (progress.settled && progress.error) {
      if (progress.error instanceof EslError && !progress.error.sent) {
        await settleAttempt(deps, attempt.leg_id, call.id, { cause: 'NODE_REFUSED', at: new Date() });
        return;
      }
      mustAsk = true;
    }
    if (mustAsk || !deps.links.isUp(attempt.node_id!)) {
      const answer = await askNode(deps, attempt);
      if (answer === 'dead') {
        await settleAttempt(deps, attempt.leg_id, call.id, { cause: 'NODE_DIED', at: new Date() });
        return;
      }
      if (answer === 'there') asked.unknownSinceMs = undefined;
      else asked.unknownSinceMs ??= Date.now();
      const limitMs = answer === 'gone' ? GONE_LIMIT_MS : UNKNOWN_LIMIT_MS;
      if (asked.unknownSinceMs && Date.now() - asked.unknownSinceMs > limitMs) {
        await settleAttempt(deps, attempt.leg_id, call.id, { cause: 'NODE_UNKNOWN', at: new Date() });
        return;
      }
    }
    await sleep(WATCH_MS, undefined, { signal: deps.signal }).catch(() => undefined);
  }
}

/** @returns whether the node has taken it in; a channel that is not there yet is tried again. */
async function sendHangup(deps: DialDeps, attempt: AttemptRow): Promise<boolean> {
  try {
    return await hangUpAttempt(deps.links, attempt.node_id!, attempt, 'ORIGINATOR_CANCEL');
  } catch {
    return false;
  }
}

/**
 * Asks the node about the leg. `dead`: the process that had it is gone for sure (it refuses connections, so the stream
 * has marked it down, or it runs under another core UUID), so nothing rings any more. `gone`: it lives and has no such
 * channel, which may have rung and ended. `unknown`: it can't be asked now.
 */
async function askNode(deps: DialDeps, attempt: AttemptRow): Promise<'there' | 'gone' | 'dead' | 'unknown'> {
  const node = await findNode(deps.db, attempt.node_id!);
  if (!node) return 'dead';
  if (!deps.links.isUp(node.id)) return node.state === 'down' && node.down_reason === 'refused' ? 'dead' : 'unknown';
  try {
    const connection = deps.links.connection(node.id);
    const reply = await connection.api(channelExists(attempt.leg_id), { timeoutMs: deps.commandTimeoutMs });
    // Not the one in the node's row: it is written behind a restart, and the attempt may be on the newer process.
    const core = deps.links.coreOf(connection);
    if (core && attempt.node_core_uuid && core !== attempt.node_core_uuid) return 'dead';
    if (reply.text.trim() === 'true') return 'there';
    return (await ringsElsewhere(deps.db, attempt)) ? 'there' : 'gone';
  } catch {
    return 'unknown';
  }
}
