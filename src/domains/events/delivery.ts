/** Sends a reader what it follows, no faster than it takes it: a slow reader costs one batch, never more. */
import type { Logger } from '../../infra/logger';
import type { EventHub } from './broadcaster';
import { isWanted, showEvent, type Reading } from './subscription';
import { withDeadline } from '../../infra/flow/deadline';
import { keepStream, type KeptStream } from '../../infra/sse';

/** A way to a reader: Server-Sent Events or a WebSocket. */
export interface Outlet {
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

export interface StreamDeps extends Pick<KeptStream, 'stillValid' | 'onRevoked' | 'heartbeatMs'> {
  hub: EventHub;
  logger: Logger;
  /** A reader that takes nothing for so long is gone. */
  stalledMs: number;
}

/** Runs until the reader is gone, its key is dead or the hub's process ends. */
export async function streamEvents(deps: StreamDeps, reading: Reading, outlet: Outlet): Promise<void> {
  const gone = new AbortController();
  let at = reading.after;
  const end = (reason: string): void => {
    outlet.close(reason);
    gone.abort();
  };
  outlet.onGone(() => gone.abort());
  const stopKeeping = keepStream({ ...deps, beat: () => outlet.beat(at), end });
  try {
    for await (const batch of deps.hub.follow(reading.stream, at, gone.signal)) {
      const messages = batch.filter((item) => isWanted(item, reading)).map(messageOf);
      const last = batch.at(-1)!;
      at = last.kind === 'event' ? last.event.number : last.to;
      if (messages.length > 0) await within(outlet.send(messages, at), deps.stalledMs);
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
  return { number: item.event.number, type: item.event.type, data: showEvent(item.event) };
}

const within = (work: Promise<void>, ms: number): Promise<void> =>
  withDeadline(work, ms, () => {
    throw new Error('the reader takes nothing');
  });
