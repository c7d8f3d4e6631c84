/** Brings relays to what they should be: each is sent by one replica, started with its room, and tried again when it fails. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { NodeConnections } from '../nodes/connections/node-connections';
import { findLivingSession, type SessionRow } from '../rooms/sessions/sessions.store';
import type { Logger } from '../../infra/logger';
import { decryptSecret } from '../../infra/secrets';
import { storeClock } from '../../infra/store-clock';
import { giveUpRelays, holdRelays, updateRelay, type RelayRow } from './relays.store';
import { sendRoom, type SendingDeps } from './relay-session';
import { moveRelay, settleEnd, settleLive, settleStopped, settleWaiting, type SettleRelayDeps } from './transitions';
import { readTarget } from './targets/target';

export interface RelayReconcilerDeps extends SettleRelayDeps {
  logger: Logger;
  links: Pick<NodeConnections, 'api' | 'isUp'>;
  secretKey: Buffer;
  sending: SendingDeps;
}

export interface RelayReconciler {
  /** Takes what it may hold, starts what should be live, ends what should not. */
  sweep(): Promise<void>;
  /** Sweeps soon: something has just changed. */
  wake(): void;
  stop(): Promise<void>;
}

/** A replica that is gone loses its relays after this. */
const LEASE_MS = 6000;
const SAVE_FLOW_EVERY_MS = 2000;
const ROOM_END_MS = 1000;

interface Life {
  sessionId: string;
  stop: AbortController;
  done: Promise<void>;
}

export function createRelayReconciler(deps: RelayReconcilerDeps): RelayReconciler {
  const lives = new Map<string, Life>();
  let sweeping: Promise<void> | undefined;
  let wanted = false;
  let stopped = false;

  async function sweepOnce(): Promise<void> {
    const now = storeClock.now();
    const rows = await holdRelays(deps.db, deps.replicaId, now, new Date(now.getTime() + LEASE_MS));
    const held = new Set(rows.map((row) => row.id));
    for (const [id, life] of lives) if (!held.has(id)) life.stop.abort(); // another replica has it, or it is gone
    await Promise.all(
      rows.map((row) =>
        bringAbout(row, now).catch((err: unknown) => deps.logger.warn({ err, relayId: row.id }, 'a relay has to wait')),
      ),
    );
  }

  async function bringAbout(relay: RelayRow, now: Date): Promise<void> {
    const life = lives.get(relay.id);
    if (relay.desired === 'stopped') {
      life?.stop.abort();
      if (!life) await settleStopped(deps, relay.id);
      return;
    }
    const session = await findLivingSession(deps.db, relay.room_id);
    const isThere = session?.state === 'live' && session.node_id !== null && deps.links.isUp(session.node_id);
    if (life) {
      if (life.sessionId !== session?.id) life.stop.abort();
      return;
    }
    if (!session || !isThere) return settleWaiting(deps, relay.id, now);
    const isOtherSession = relay.session_id !== session.id;
    if (!isOtherSession && relay.next_try_at && relay.next_try_at > now) return;
    begin(relay, session);
  }

  function begin(relay: RelayRow, session: SessionRow): void {
    if (stopped) return;
    const stop = new AbortController();
    const done = runLife(deps, relay, session, stop.signal)
      .catch((err: unknown) => deps.logger.error({ err, relayId: relay.id }, 'a relay could not be kept'))
      .finally(() => {
        lives.delete(relay.id);
        wake();
      });
    lives.set(relay.id, { sessionId: session.id, stop, done });
  }

  function sweep(): Promise<void> {
    wanted = true;
    sweeping ??= (async () => {
      while (wanted && !stopped) {
        wanted = false;
        await sweepOnce();
      }
    })().finally(() => (sweeping = undefined));
    return sweeping;
  }
  function wake(): void {
    if (!stopped) sweep().catch((err: unknown) => deps.logger.debug({ err }, 'relays are looked at later'));
  }

  return {
    sweep,
    wake,
    async stop() {
      stopped = true;
      await sweeping?.catch(() => undefined);
      const left = [...lives.values()];
      for (const life of left) life.stop.abort();
      await Promise.all(left.map((life) => life.done));
      await giveUpRelays(deps.db, deps.replicaId).catch(() => undefined); // else the lease runs out
    },
  };
}

/** One sending, with every step written down. */
async function runLife(
  deps: RelayReconcilerDeps,
  relay: RelayRow,
  session: SessionRow,
  signal: AbortSignal,
): Promise<void> {
  const streamKey = decryptSecret(deps.secretKey, { purpose: 'stream-key', of: relay.id }, relay.stream_key_sealed);
  const { target } = readTarget(relay.url, streamKey);
  const nodeId = session.node_id!;
  const here = { session_id: session.id, meeting_id: session.meeting_id, node_id: nodeId };
  const bytesBefore = Number(relay.bytes_sent);
  let savedAtMs = 0;
  const end = await sendRoom(
    deps.sending,
    { target, streamKey, sessionId: session.id, nodeId },
    {
      async onStep(step) {
        if (step === 'checking')
          await moveRelay(deps, relay.id, ['waiting', 'restarting', 'checking', 'starting', 'live'], step, here);
        else await moveRelay(deps, relay.id, ['checking'], step, here);
      },
      onLive: () => settleLive(deps, relay.id),
      onFlow({ bytesSent, takenAtMs }) {
        if (storeClock.nowMs() - savedAtMs < SAVE_FLOW_EVERY_MS) return;
        savedAtMs = storeClock.nowMs();
        updateRelay(deps.db, relay.id, ['live'], {
          bytes_sent: bytesBefore + bytesSent,
          flowed_at: new Date(storeClock.fromMachine(takenAtMs)),
        }).catch(() => undefined); // the next look saves more
      },
    },
    signal,
  );
  if (!end.stopped) {
    const { side, fault, detail } = end;
    deps.logger.info({ relayId: relay.id, url: relay.url, side, fault, detail }, 'a relay was interrupted');
  }
  // The room's end is seen here before its event has come: then it is no fault.
  if (!end.stopped && end.side === 'node') await sleep(ROOM_END_MS);
  await settleEnd(deps, relay.id, session.id, end);
}
