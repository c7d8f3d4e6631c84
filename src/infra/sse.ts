/** Server-Sent Events (https://html.spec.whatwg.org/#server-sent-events): the head, the heartbeat, and readers that are slow or gone. */
import type { Response } from 'express';

/** How long a browser waits before it connects again. */
const RETRY_MS = 2000;

export interface SseStream {
  /** Whether the reader has not taken yet what was written; what is written now is piled up. */
  isBehind(): boolean;
  /** @returns false where the reader is gone, or has to be waited for */
  write(text: string): boolean;
  /** Resolves when the reader has taken what was written; rejects when it is gone. */
  drained(): Promise<void>;
  /** Not onto a pile: a reader that is behind knows that we are there. */
  beat(fields?: string): void;
  /** Ends it; a reader that is behind is cut off. */
  close(): void;
  isOpen(): boolean;
}

/** @param fields said at once, such as `id: 7\n` */
export function openSseStream(response: Response, fields = ''): SseStream {
  response.locals.streams = true;
  response.status(200).set({
    'Content-Type': 'text/event-stream; charset=utf-8',
    'Cache-Control': 'no-store, no-transform',
    'X-Accel-Buffering': 'no',
  });
  response.socket?.setNoDelay(true);
  response.write(`retry: ${RETRY_MS}\n${fields}\n`);
  const isOpen = (): boolean => !response.destroyed && !response.writableEnded;
  return {
    isOpen,
    isBehind: () => response.writableNeedDrain,
    write: (text) => isOpen() && response.write(text),
    drained: () =>
      new Promise((resolve, reject) => {
        if (!isOpen()) return reject(new Error('closed'));
        const settle = (then: () => void) => () => {
          response.off('drain', onDrain).off('close', onClose);
          then();
        };
        const onDrain = settle(resolve);
        const onClose = settle(() => reject(new Error('closed')));
        response.on('drain', onDrain).on('close', onClose);
      }),
    beat: (text = '') => {
      if (isOpen() && !response.writableNeedDrain) response.write(`: heartbeat\n${text}\n`);
    },
    close: () => {
      if (response.writableNeedDrain) response.destroy();
      else response.end();
    },
  };
}

export interface KeptStream {
  heartbeatMs: number;
  beat(): void;
  /** Asked at every heartbeat: false ends the stream (a key that expired). A rejection changes nothing. */
  stillValid(): Promise<boolean>;
  /** Ends the stream at once when its key is revoked. @returns how to stop hearing */
  onRevoked(listener: () => void): () => void;
  end(reason: string): void;
}

/** Keeps a stream open as long as its key is good. @returns how to stop */
export function keepStream(o: KeptStream): () => void {
  const unhear = o.onRevoked(() => o.end('the key was revoked'));
  const timer = setInterval(() => {
    o.beat();
    o.stillValid().then(
      (valid) => !valid && o.end('the key is not valid any more'),
      () => undefined,
    );
  }, o.heartbeatMs);
  return () => {
    clearInterval(timer);
    unhear();
  };
}
