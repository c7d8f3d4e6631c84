/** What can be done with a call: ask for it, look at it, and act on it while it lives. */
import type { Pool } from 'pg';
import { SwitchyardError } from '../../errors';
import { createId, showLegId } from '../../infra/ids';
import { storeClock } from '../../infra/store-clock';
import {
  holdChannel,
  playFile,
  sendDtmf,
  transferChannel,
  unholdChannel,
  type ApiCommand,
  type Reply,
} from '../../freeswitch/esl';
import type { NodeConnections } from '../nodes/connections/node-connections';
import { explainLeftOut } from '../nodes/selection/placement-report';
import { explainChoice } from '../nodes/selection/select-node';
import type { Quotas } from '../quotas/quotas';
import { quotaExceeded } from '../quotas/refusals';
import type { Directory } from '../users/directory';
import { formatAddress, type Address } from './address';
import { readAddress, resolveAddress } from './dialplan/resolve-address';
import {
  findCall,
  findLastAttempt,
  listAttempts,
  listCallRows,
  listLegs,
  listPlacements,
  type AttemptRow,
  type CallRow,
  type LegRow,
} from './calls.store';
import { queueCall, type Queued } from './dialing/placement.store';
import { hangUpAttempt, hangUpTalk } from './dialing/forked-legs';
import { extensionOf } from './dialing/dial-command';
import { moveCall } from './events/move-calls';
import { noteHold } from './reconcile/hold-limit';
import { listJoined, type JoinedCall } from './joining/joining.store';
import { draftCallEvent } from './events/reduction';
import type { CallEndDeps } from './events/move-calls';
import { CALLS_CONTEXT } from '../../freeswitch/contexts';

export interface CallDeps extends CallEndDeps {
  directory: Directory;
  links: NodeConnections;
  /** See PlaceDeps. */
  callPool: Pool;
  quotas: Pick<Quotas, 'defaults' | 'spend' | 'refuse'>;
  queueTimeoutMs: number;
}

export interface NewCallRequest {
  domainId: string;
  domain: string;
  from: string;
  to: string;
  callerName?: string;
  ringTimeoutSeconds?: number;
  queueTimeoutSeconds?: number;
  metadata?: Record<string, unknown>;
}

/** Two audio legs. */
const CALL_UNITS = 1;

const iso = (date: Date | null): string | null => date?.toISOString() ?? null;

/** A call as the API shows it. */
export function presentCall(call: CallRow, attempts: AttemptRow[], legs: LegRow[], joined: JoinedCall[] = []) {
  return {
    id: call.id,
    domain: call.domain_name,
    origin: call.origin,
    from: call.from_address,
    to: call.to_address,
    callerName: call.caller_name,
    state: call.state,
    outcome: call.outcome,
    node: call.node_name,
    hangupCause: call.hangup_cause,
    queuedAt: iso(call.queued_at),
    ringingAt: iso(call.ringing_at),
    answeredAt: iso(call.answered_at),
    endedAt: iso(call.ended_at),
    talkSeconds: call.talk_seconds === null ? null : Number(call.talk_seconds),
    joinedInto: call.joined_into,
    joined: joined.map((other) => ({ id: other.id, from: other.from_address, to: other.to_address })),
    adoptedAt: iso(call.adopted_at),
    metadata: call.metadata,
    attempts: attempts.map((a) => ({
      number: a.number,
      node: a.node_name,
      leg: showLegId(a.leg_id),
      placedAt: iso(a.placed_at),
      rangAt: iso(a.rang_at),
      endedAt: iso(a.ended_at),
      result: a.result,
      hangupCause: a.hangup_cause,
    })),
    legs: legs.map((l) => ({
      id: showLegId(l.id),
      role: l.role,
      address: l.address,
      node: l.node_name ?? null,
      state: l.state,
      createdAt: iso(l.created_at),
      ringingAt: iso(l.ringing_at),
      answeredAt: iso(l.answered_at),
      endedAt: iso(l.ended_at),
      hangupCause: l.hangup_cause,
    })),
  };
}

export type PresentedCall = ReturnType<typeof presentCall>;

async function presentAll(deps: CallDeps, calls: CallRow[]): Promise<PresentedCall[]> {
  const ids = calls.map((c) => c.id);
  const [attempts, legs, joined] = await Promise.all([
    listAttempts(deps.db, ids),
    listLegs(deps.db, ids),
    listJoined(deps.db, ids),
  ]);
  return calls.map((call) =>
    presentCall(
      call,
      attempts.filter((a) => a.call_id === call.id),
      legs.filter((l) => l.call_id === call.id),
      joined.filter((j) => j.joined_into === call.id),
    ),
  );
}

/** @returns who is meant. @throws invalid_address; unprocessable where nobody of that name or number can be called. */
async function requireReachable(deps: CallDeps, text: string, domain: string, end: 'from' | 'to'): Promise<Address> {
  const { address, user, room } = await resolveAddress(deps, text, domain);
  if (user?.enabled) return address;
  if (user) throw new SwitchyardError('unprocessable', `The user "${user.username}" is disabled.`);
  if (end === 'to' && (room || address.kind === 'service')) return address;
  if (address.kind === 'user')
    throw new SwitchyardError('unprocessable', `There is no user "${address.username}" in ${domain}.`);
  if (address.kind === 'room')
    throw end === 'to'
      ? new SwitchyardError('unprocessable', `There is no room "${address.name}" in ${domain}.`)
      : new SwitchyardError('unprocessable', '"from" is a room, but only a user can be rung first.', {
          fix: 'Send the user as "from" and the room as "to", or POST /v1/rooms/{id}/dial.',
        });
  throw new SwitchyardError(
    'unprocessable',
    end === 'from'
      ? `${formatAddress(address)} can't be called: this pool has no gateway, so only users of the domain can (by name or by their number).`
      : `Can't reach ${formatAddress(address)}: no user has this number in ${domain}, and this pool has no gateway.`,
  );
}

/** Writes the call down; its event queues it (queue/feed.ts). The answer is what was written, and asks nobody again. */
export async function createCall(deps: CallDeps, asked: NewCallRequest): Promise<PresentedCall> {
  for (const text of [asked.from, asked.to]) readAddress(text, asked.domain);
  const reaching = Promise.all([
    requireReachable(deps, asked.from, asked.domain, 'from'),
    requireReachable(deps, asked.to, asked.domain, 'to'),
  ]);
  reaching.catch(() => undefined); // who asks too often is told that first
  await deps.quotas.spend(asked.domainId, 'callsPerSecond');
  const [from, to] = await reaching;
  const now = storeClock.now();
  const waitMs = asked.queueTimeoutSeconds === undefined ? deps.queueTimeoutMs : asked.queueTimeoutSeconds * 1000;
  const written = {
    id: createId(now.getTime()),
    domain_id: asked.domainId,
    origin: 'api' as const,
    from_address: formatAddress(from),
    to_address: formatAddress(to),
    caller_name: asked.callerName ?? '',
    state: 'queued' as const,
    units: String(CALL_UNITS),
    ring_timeout_seconds: asked.ringTimeoutSeconds ?? 30,
    place_before: new Date(now.getTime() + waitMs),
    queued_at: now,
    metadata: asked.metadata ?? {},
  };
  const call: CallRow = { ...UNPLACED, ...written, domain_name: asked.domain };
  const draft = draftCallEvent('call.queued', call);
  const limit = deps.quotas.defaults.queuedCalls;
  const queued = await deps.log.write<Queued>(() => queueCall(deps.callPool, written, limit, draft));
  if (queued.outcome === 'no_domain') throw new SwitchyardError('not_found', 'No such domain.');
  if (queued.outcome === 'full') {
    const refusal = { quota: 'queuedCalls', limit: queued.limit, used: queued.used } as const;
    deps.quotas.refuse(asked.domainId, refusal);
    throw quotaExceeded(refusal);
  }
  return presentCall(call, [], []);
}

/** Of a call that only waits. */
const UNPLACED = {
  node_id: null,
  node_name: null,
  outcome: null,
  hangup_cause: null,
  hangup_requested_at: null,
  hangup_reason: null,
  placing_at: null,
  ringing_at: null,
  answered_at: null,
  ended_at: null,
  talk_seconds: null,
  joined_into: null,
  adopted_at: null,
};

/** @param domainId null sees every domain. @throws not_found, also for a call of another domain. */
async function requireCall(deps: CallDeps, id: string, domainId: string | null): Promise<CallRow> {
  const call = await findCall(deps.db, id);
  if (!call || (domainId !== null && call.domain_id !== domainId)) {
    throw new SwitchyardError('not_found', 'No such call.');
  }
  return call;
}

export async function getCall(deps: CallDeps, id: string, domainId: string | null): Promise<PresentedCall> {
  return (await presentAll(deps, [await requireCall(deps, id, domainId)]))[0]!;
}

export async function listCalls(
  deps: CallDeps,
  filter: { domainId?: string; state?: string; before?: string; limit: number },
): Promise<PresentedCall[]> {
  return presentAll(deps, await listCallRows(deps.db, filter));
}

export async function explainPlacement(deps: CallDeps, id: string, domainId: string | null) {
  await requireCall(deps, id, domainId);
  const placements = await listPlacements(deps.db, id);
  return {
    call: id,
    decisions: placements.map((p) => ({
      attempt: p.attempt,
      decidedAt: p.decided_at.toISOString(),
      policy: p.policy,
      node: p.node_name,
      considered: p.considered,
      explanation: [...explainChoice(p.policy, p.considered, p.node_id), ...explainLeftOut(p.left_out)],
    })),
  };
}

/** Ends the call in whatever state it is; ending it twice is no fault. */
export async function hangupCall(deps: CallDeps, id: string, domainId: string | null): Promise<PresentedCall> {
  await requireCall(deps, id, domainId);
  await moveCall(deps, { kind: 'hangup_asked', callId: id, at: storeClock.now() });
  const state = (await findCall(deps.db, id))?.state ?? 'ended';
  if (state !== 'ended') {
    const attempt = await findLastAttempt(deps.db, id);
    const cause = state === 'answered' ? 'NORMAL_CLEARING' : 'ORIGINATOR_CANCEL';
    // Where the node has no such channel yet, the event that makes it known finds the request, and ends it.
    if (attempt?.node_id) {
      if (state === 'answered') await hangUpTalk(deps, attempt, cause);
      else await hangUpAttempt(deps.links, attempt.node_id, attempt, cause);
    }
  }
  return getCall(deps, id, domainId);
}

export type CallAction =
  | { do: 'hold' | 'unhold' }
  | { do: 'dtmf'; digits: string }
  | { do: 'play'; source: string }
  | { do: 'transfer'; to: string };

/** @throws conflict where the call is not answered, node_error with the node's own word where it refuses. */
export async function actOnCall(
  deps: CallDeps,
  id: string,
  domainId: string | null,
  action: CallAction,
): Promise<PresentedCall> {
  const call = await requireCall(deps, id, domainId);
  const attempt = await findLastAttempt(deps.db, id);
  if (call.state !== 'answered' || !attempt?.node_id) {
    throw new SwitchyardError('conflict', `This needs an answered call; this one is ${call.state}.`);
  }
  const command = await commandFor(deps, call, attempt.leg_id, action);
  const reply = await deps.links.api(attempt.node_id, command);
  if (action.do === 'hold' || action.do === 'unhold') {
    await deps.links.api(attempt.node_id, noteHold(attempt.leg_id, action.do === 'hold'));
  }
  if (!reply.ok && !isSoAlready(action, reply))
    throw new SwitchyardError('node_error', `The node answered: ${reply.text.slice(0, 200)}`);
  return getCall(deps, id, domainId);
}

/** FreeSWITCH refuses to hold a channel that is on hold, and the other way round (switch_ivr_hold): then all is as asked. */
const isSoAlready = (action: CallAction, reply: Reply): boolean =>
  (action.do === 'hold' || action.do === 'unhold') && reply.text.includes('Operation failed');

async function commandFor(deps: CallDeps, call: CallRow, legId: string, action: CallAction): Promise<ApiCommand> {
  switch (action.do) {
    case 'hold':
      return holdChannel(legId);
    case 'unhold':
      return unholdChannel(legId);
    case 'dtmf':
      return sendDtmf(legId, action.digits);
    case 'play':
      return playFile(legId, action.source, 'both');
    case 'transfer': {
      const to = await requireReachable(deps, action.to, call.domain_name, 'to');
      // The dialplan answer reads where to go from the row, as it did for the first end.
      await moveCall(deps, { kind: 'redirected', callId: call.id, to: formatAddress(to) });
      return transferChannel(legId, { extension: extensionOf(to), context: CALLS_CONTEXT });
    }
  }
}
