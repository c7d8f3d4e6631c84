/** Listens at a simulated node's own socket for phones that ring: what phones saw, whatever Switchyard believes. */
import {
  createNodeLink,
  parseChannels,
  showChannels,
  type ChannelEvent,
  type NodeLink,
} from '../../../../src/freeswitch/esl';
import type { Logger } from '../../../../src/infra/logger';

/** One phone that rang for a call, from its first ring to the end of its channel. */
export interface Ring {
  node: string;
  legId: string;
  callId: string;
  /** Whose phone it was. */
  phone: string;
  fromMs: number;
  /** Left out: its channel still lives. */
  untilMs?: number;
  /** It rang until the node died. */
  died?: boolean;
}

export interface Tap {
  readonly rings: readonly Ring[];
  /** The node is gone, and with it whatever rang. */
  nodeDied(): void;
  stop(): Promise<void>;
}

const PHONE = /^sofia\/internal\/(?:sips?:)?([^@]+)@/;
const NEVER_MS = 3_600_000;

/** @param password asked before each connection; throws while the node is down */
export function openTap(o: { node: string; port: number; password: () => string; logger: Logger }): Tap {
  const rings: Ring[] = [];
  const open = new Map<string, Ring>();
  /** When the connection was lost. */
  let lostMs = 0;

  function take(event: ChannelEvent): void {
    const { phase, legId, callId, channelName, direction, atMs } = event;
    const known = open.get(legId);
    if (phase === 'hangup' || phase === 'destroyed') {
      if (!known) return;
      known.untilMs = atMs;
      open.delete(legId);
      return;
    }
    const phone = PHONE.exec(channelName)?.[1];
    if (known || !callId || !phone || direction !== 'outbound' || phase === 'created') return;
    const ring: Ring = { node: o.node, legId, callId, phone, fromMs: atMs };
    rings.push(ring);
    open.set(legId, ring);
  }

  const link: NodeLink = createNodeLink({
    host: '127.0.0.1',
    port: o.port,
    password: o.password,
    logger: o.logger,
    random: Math.random,
    longestPauseMs: 20,
    firstPauseMs: 10,
    // A frozen node answers nothing, and is listened to all the same.
    connectTimeoutMs: NEVER_MS,
    probeIntervalMs: NEVER_MS,
    probeTimeoutMs: NEVER_MS,
    onDown: (_error, { wasUp }) => void (wasUp && (lostMs = Date.now())),
    async onUp(connection) {
      connection.onEvent((event) => void (event.type === 'channel' && take(event)));
      await connection.subscribe(
        ['CHANNEL_PROGRESS', 'CHANNEL_PROGRESS_MEDIA', 'CHANNEL_ANSWER', 'CHANNEL_HANGUP', 'CHANNEL_DESTROY'],
        [],
      );
      const reply = await connection.api(showChannels(), { timeoutMs: NEVER_MS });
      const there = new Set(parseChannels(reply.text).map((row) => row.legId));
      for (const [legId, ring] of open) {
        if (there.has(legId)) continue;
        // It ended while nobody listened: only until then did it ring for sure.
        ring.untilMs = Math.max(ring.fromMs, lostMs);
        open.delete(legId);
      }
    },
  });
  return {
    rings,
    nodeDied() {
      for (const ring of open.values()) Object.assign(ring, { untilMs: Date.now(), died: true });
      open.clear();
    },
    stop: () => link.stop(),
  };
}

/** Two phones' rings of one call and one person that overlap by more than events may be late. */
export function findDoubleRings(rings: readonly Ring[], toleranceMs: number): [Ring, Ring][] {
  const byCall = new Map<string, Ring[]>();
  for (const ring of rings) {
    const key = `${ring.callId} ${ring.phone}`;
    byCall.set(key, [...(byCall.get(key) ?? []), ring]);
  }
  const found: [Ring, Ring][] = [];
  for (const list of byCall.values()) {
    list.sort((a, b) => a.fromMs - b.fromMs);
    for (let i = 1; i < list.length; i += 1) {
      const before = list[i - 1]!;
      const next = list[i]!;
      if ((before.untilMs ?? Infinity) > next.fromMs + toleranceMs) found.push([before, next]);
    }
  }
  return found;
}
