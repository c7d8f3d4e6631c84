/** The two ways events reach a reader: Server-Sent Events, and a WebSocket with the same as JSON messages. */
import type { Response } from 'express';
import type { WebSocket } from 'ws';
import type { Message, Transport } from './delivery';
import { openSseStream } from '../../infra/sse';

function sseText(message: Message): string {
  return `id: ${message.number}\nevent: ${message.type}\ndata: ${JSON.stringify(message.data)}\n\n`;
}

/** @param after where the reader begins: said at once, so that it comes back there even if nothing happened */
export function openSse(response: Response, after: number): Transport {
  const stream = openSseStream(response, `id: ${after}\n`);
  return {
    send: (messages, at) => {
      const last = messages.at(-1)?.number;
      const text = messages.map(sseText).join('') + (last === at ? '' : `id: ${at}\n\n`);
      return stream.write(text) ? Promise.resolve() : stream.drained();
    },
    beat: (at) => stream.beat(`id: ${at}\n`),
    close: () => stream.close(),
    onGone: (listener) => response.once('close', listener),
  };
}

/** Pings at every heartbeat; a peer that did not answer the ping before is gone. */
export function openSocket(socket: WebSocket): Transport {
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
