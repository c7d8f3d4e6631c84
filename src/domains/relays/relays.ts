/** What can be done with relays: ask for one, look at it, stop it. */
import { SwitchyardError } from '../../errors';
import type { Db } from '../../infra/stores/db';
import { createId } from '../../infra/ids';
import type { Caller } from '../../infra/route';
import { encryptSecret } from '../../infra/secrets';
import type { EventLog } from '../events/events';
import { requireFeature, requireSomeNode } from '../nodes/features/require-feature';
import type { NodeConnections } from '../nodes/connections/node-connections';
import type { Quotas } from '../quotas/quotas';
import { findLivingSession } from '../rooms/sessions/sessions.store';
import type { Logger } from '../../infra/logger';
import { describePorts, isAllowedPort } from './targets/address-rules';
import type { RelayReconciler } from './reconciler';
import { ProcessAway } from './process/relay-process';
import { TargetRefused } from './targets/refusal';
import { draftRelayEvent } from './relay-events';
import { countOpenRelays, findRelay, insertRelay, updateRelay, type RelayRow, OPEN_STATES } from './relays.store';
import type { SendingDeps } from './relay-session';
import { readTarget, type Target } from './targets/target';
import { presentInstant } from '../../infra/text/instants';
import { requireRoom } from '../rooms/require-room';

/** What the routes need. */
export interface RelayActions {
  db: Db;
  log: EventLog;
  logger: Logger;
  quotas: Pick<Quotas, 'take' | 'check'>;
  secretKey: Buffer;
  links: Pick<NodeConnections, 'api'>;
  sending: Pick<SendingDeps, 'forwarder' | 'readRules' | 'stepTimeoutMs'>;
  /** Checks of targets that go on now, by domain. */
  checks: Map<string, number>;
  keeper: Pick<RelayReconciler, 'wake'>;
  /** Finds a domain by its name or id as far as the caller may see it. @throws not_found */
  findDomain: (nameOrId: string, caller: Caller) => Promise<{ id: string }>;
}

/** More streams of one room would be a mistake, and each costs the node an encoder. */
const MAX_PER_ROOM = 10;
/** A check may last seconds, and looks at a machine that is somebody's. */
const MAX_CHECKS_PER_DOMAIN = 4;

export interface NewRelay {
  url: string;
  streamKey?: string;
  name: string;
  maxRestarts: number;
}

/** @throws not_found, unprocessable with what is wrong with the target, conflict, feature_missing, rate_limited, unavailable */
export async function createRelay(
  deps: RelayActions,
  roomId: string,
  caller: Caller,
  input: NewRelay,
): Promise<RelayRow> {
  const room = await requireRoom(deps.db, caller, roomId);
  await deps.quotas.check(room.domain_id, { relays: 1 });
  await requireSender(deps, room.id);
  const { target, streamKey } = readTarget(input.url, input.streamKey);
  await checkTarget(deps, room.domain_id, target);
  if ((await countOpenRelays(deps.db, room.id)) >= MAX_PER_ROOM) {
    throw new SwitchyardError(
      'conflict',
      `A room has ${MAX_PER_ROOM} relays at most: stop one before you add another.`,
    );
  }
  const id = createId();
  const row = await deps.log.record(async (trx, emit) => {
    // Holds the domain's places, so that two at once are not both the last of the room.
    await deps.quotas.take(trx, room.domain_id, { relays: 1 });
    if ((await countOpenRelays(trx, room.id)) >= MAX_PER_ROOM) {
      throw new SwitchyardError(
        'conflict',
        `A room has ${MAX_PER_ROOM} relays at most: stop one before you add another.`,
      );
    }
    await insertRelay(trx, {
      id,
      domain_id: room.domain_id,
      room_id: room.id,
      name: input.name,
      url: target.url,
      stream_key_sealed: encryptSecret(deps.secretKey, { purpose: 'stream-key', of: id }, streamKey),
      max_restarts: input.maxRestarts,
      desired: 'live',
      state: 'waiting',
    });
    const made = (await findRelay(trx, id))!;
    emit(draftRelayEvent(made, 'created', { state: 'waiting' }));
    return made;
  });
  deps.keeper.wake();
  return row;
}

/** A room that nobody is in yet gets a node that can, where there is one. */
async function requireSender(deps: RelayActions, roomId: string): Promise<void> {
  const session = await findLivingSession(deps.db, roomId);
  if (session?.node_id) await requireFeature(deps, session.node_id, 'relays');
  else await requireSomeNode(deps, 'relays');
}

/** Whoever asks is told one coarse reason, and the operator the exact one. */
async function checkTarget(deps: RelayActions, domainId: string, target: Target): Promise<void> {
  const rules = await deps.sending.readRules();
  if (!isAllowedPort(rules, target.port)) {
    const message = `Relays go to these ports only: ${describePorts(rules)}.`;
    throw new SwitchyardError('unprocessable', message, { errors: [{ path: 'url', message }] });
  }
  const going = deps.checks.get(domainId) ?? 0;
  if (going >= MAX_CHECKS_PER_DOMAIN) {
    throw new SwitchyardError(
      'rate_limited',
      'Other targets of this domain are still being checked: retry in a few seconds.',
    );
  }
  deps.checks.set(domainId, going + 1);
  try {
    await deps.sending.forwarder.check(target, rules, deps.sending.stepTimeoutMs);
  } catch (error) {
    if (error instanceof ProcessAway) {
      throw new SwitchyardError('unavailable', "Targets can't be checked now: retry in a few seconds.");
    }
    if (!(error instanceof TargetRefused)) throw error;
    deps.logger.info({ domainId, url: target.url, detail: error.detail }, 'the target of a relay was refused');
    throw new SwitchyardError('unprocessable', `Can't send to this target: ${error.message}.`, {
      errors: [{ path: 'url', message: error.message }],
    });
  } finally {
    const left = deps.checks.get(domainId)! - 1;
    if (left > 0) deps.checks.set(domainId, left);
    else deps.checks.delete(domainId);
  }
}

/** @throws not_found where there is none, or the caller may not know of it */
export async function requireRelay(db: Db, id: string, callerDomainId: string | null): Promise<RelayRow> {
  const row = await findRelay(db, id);
  if (!row || (callerDomainId !== null && row.domain_id !== callerDomainId)) {
    throw new SwitchyardError('not_found', 'No such relay.');
  }
  return row;
}

/** Asks for its end. One that is over stays as it is. */
export async function stopRelay(deps: RelayActions, relay: RelayRow): Promise<RelayRow> {
  await deps.log.record(async (trx, emit) => {
    const change = { desired: 'stopped', state: 'stopping', next_try_at: null } as const;
    const expected = OPEN_STATES.filter((state) => state !== 'stopping');
    if (await updateRelay(trx, relay.id, expected, change)) emit(draftRelayEvent(relay, 'stopping'));
  });
  deps.keeper.wake();
  return (await findRelay(deps.db, relay.id)) ?? relay;
}

/** A relay as the API shows it: with everything but its key. */
export function presentRelay(relay: RelayRow, now: Date) {
  const open = relay.gaps.at(-1);
  const openMs = open?.to === null ? now.getTime() - Date.parse(open.from) : 0;
  return {
    id: relay.id,
    domain: relay.domain_name,
    roomId: relay.room_id,
    room: relay.room_name,
    name: relay.name,
    url: relay.url,
    state: relay.state,
    desired: relay.desired,
    sessionId: relay.session_id,
    node: relay.node_name,
    restarts: relay.restarts,
    maxRestarts: relay.max_restarts,
    nextTryAt: relay.state === 'restarting' ? presentInstant(relay.next_try_at) : null,
    lastFault: relay.last_fault,
    gaps: relay.gaps,
    gapSeconds: (Number(relay.gap_ms) + openMs) / 1000,
    bytesSent: Number(relay.bytes_sent),
    flowedAt: presentInstant(relay.flowed_at),
    createdAt: relay.created_at.toISOString(),
    firstLiveAt: presentInstant(relay.first_live_at),
    liveSince: presentInstant(relay.live_since),
    endedAt: presentInstant(relay.ended_at),
  };
}
