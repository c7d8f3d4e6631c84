/** The two ways events reach a reader: Server-Sent Events, and a WebSocket with the same as JSON messages. */
import type { Response } from 'express';
import type { WebSocket } from 'ws';
import type { Message, Outlet } from './delivery';

function sseText(message: Message): string {
  return `id: ${message.number}\nevent: ${message.type}\ndata: ${JSON.stringify(message.data)}\n\n`;
}

/** @param after where the reader begins: said at once, so that it comes back there even if nothing happened */
export function openSse(response: Response, after: number): Outlet {
  response.locals.streams = true;
  response.status(200).set({
    'Content-Type': 'text/event-stream; charset=utf-8',
    'Cache-Control': 'no-store, no-transform',
    'X-Accel-Buffering': 'no',
  });
  response.socket?.setNoDelay(true);
  response.write(`retry: 2000\nid: ${after}\n\n`);
  return {
    send: (messages, at) => {
      if (response.destroyed || response.writableEnded) return Promise.reject(new Error('closed'));
      const last = messages.at(-1)?.number;
      const text = messages.map(sseText).join('') + (last === at ? '' : `id: ${at}\n\n`);
      if (response.write(text)) return Promise.resolve();
      return new Promise((resolve, reject) => {
        const settle = (then: () => void) => () => {
          response.off('drain', drained).off('close', closed);
          then();
        };
        const drained = settle(resolve);
        const closed = settle(() => reject(new Error('closed')));
        response.on('drain', drained).on('close', closed);
      });
    },
    beat: (at) => {
      // Not onto a pile: a reader that is behind knows that we are there.
      if (!response.writableNeedDrain && !response.destroyed) response.write(`: heartbeat\nid: ${at}\n\n`);
    },
    close: () => {
      if (response.writableNeedDrain) response.destroy();
      else response.end();
    },
    onGone: (listener) => response.once('close', listener),
  };
}

/** Pings at every heartbeat; a peer that did not answer the ping before is gone. */
export function openSocket(socket: WebSocket): Outlet {
  let answered = true;
  socket.on('pong', () => {
    answered = true;
  });
  socket.on('error', () => socket.terminate());
  // Readers only read: what they send is not kept.
  socket.on('message', () => undefined);
  return {
    send: (messages) =>
      new Promise((resolve, reject) => {
        messages.forEach((message, i) => {
          const data = message.type === 'gap' ? { type: 'gap', ...(message.data as object) } : message.data;
          const isLast = i === messages.length - 1;
          socket.send(JSON.stringify(data), (error) => (error ? reject(error) : isLast && resolve()));
        });
      }),
    beat: () => {
      if (!answered) socket.terminate();
      answered = false;
      if (socket.readyState === socket.OPEN) socket.ping();
    },
    close: (reason) => {
      if (socket.bufferedAmount > 0) socket.terminate();
      else if (socket.readyState === socket.OPEN) socket.close(1000, reason);
    },
    onGone: (listener) => socket.once('close', listener),
  };
}
