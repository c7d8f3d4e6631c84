/** Sends a reader what it follows, no faster than it takes it: a slow reader costs one batch, never more. */
import type { Logger } from '../../infra/logger';
import type { EventBroadcaster } from './broadcaster';
import { isWanted, presentEvent, type Subscription } from './subscription';
import { withDeadline } from '../../infra/flow/deadline';
import { keepStream, type KeptStream } from '../../infra/sse';

/** A way to a reader: Server-Sent Events or a WebSocket. */
export interface Transport {
  /** Resolves when the reader has room for more; rejects when it is gone. */
  send(messages: readonly Message[], at: number): Promise<void>;
  beat(at: number): void;
  close(reason: string): void;
  onGone(listener: () => void): void;
}

/** What is told; `number` is what to come back with. */
export interface Message {
  number: number;
  type: string;
  data: unknown;
}

export interface DeliveryDeps extends Pick<KeptStream, 'stillValid' | 'onRevoked' | 'heartbeatMs'> {
  broadcaster: EventBroadcaster;
  logger: Logger;
  /** A reader that takes nothing for so long is gone. */
  stalledMs: number;
}

/** Runs until the reader is gone, its key is dead or the broadcaster's process ends. */
export async function deliverEvents(
  deps: DeliveryDeps,
  subscription: Subscription,
  transport: Transport,
): Promise<void> {
  const gone = new AbortController();
  let at = subscription.after;
  const end = (reason: string): void => {
    transport.close(reason);
    gone.abort();
  };
  transport.onGone(() => gone.abort());
  const stopKeeping = keepStream({ ...deps, beat: () => transport.beat(at), end });
  try {
    for await (const batch of deps.broadcaster.follow(subscription.stream, at, gone.signal)) {
      const messages = batch.filter((item) => isWanted(item, subscription)).map(messageOf);
      const last = batch.at(-1)!;
      at = last.kind === 'event' ? last.event.number : last.to;
      if (messages.length > 0) await within(transport.send(messages, at), deps.stalledMs);
    }
  } catch (error) {
    deps.logger.debug({ fault: (error as Error).message }, 'an event reader is gone');
  } finally {
    stopKeeping();
    end('the stream ended');
  }
}

function messageOf(item: Parameters<typeof isWanted>[0]): Message {
  if (item.kind === 'gap') return { number: item.to, type: 'gap', data: { from: item.from, to: item.to } };
  return { number: item.event.number, type: item.event.type, data: presentEvent(item.event) };
}

const within = (work: Promise<void>, ms: number): Promise<void> =>
  withDeadline(work, ms, () => {
    throw new Error('the reader takes nothing');
  });
