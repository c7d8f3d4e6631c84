/** WebSockets: a connection that upgrades at /v1/events is checked like any request before it is accepted. */
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import type { EventsEndpoints } from '../domains/events/events.routes';
import { SwitchyardError } from '../errors';
import { nameDbFault } from '../infra/stores/db';
import type { Logger } from '../infra/logger';
import { shownBearer, type Doorkeeper } from './request/authentication';
import { listNetworks } from '../address';
import { readClientAddress } from './request/client-address';
import { refuseSocket } from './server';

/** @returns how to close all sockets when the server stops */
export function attachEventSockets(
  server: Server,
  o: { events: EventsEndpoints; doorkeeper: Doorkeeper; trustedProxies: readonly string[]; logger: Logger },
): { close(): void } {
  const trusted = listNetworks(o.trustedProxies);
  const sockets = new WebSocketServer({ noServer: true, maxPayload: 4096, perMessageDeflate: false });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy());
    accept(request, socket, head).catch((fault: unknown) => {
      const named = nameDbFault(fault);
      if (!(named instanceof SwitchyardError)) o.logger.error({ err: fault }, 'a WebSocket failed');
      refuseSocket(socket, named instanceof SwitchyardError ? named : new SwitchyardError('internal'));
    });
  });

  async function accept(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://localhost');
    if (url.pathname !== '/v1/events') throw new SwitchyardError('not_found', 'No such endpoint.');
    const { access_token: accessToken, ...query } = Object.fromEntries(url.searchParams);
    const shown = shownBearer(request.headers.authorization, accessToken);
    const { caller, bearer } = await o.doorkeeper.require(shown, readClientAddress(request, trusted), 'grant');
    const lastEventId = request.headers['last-event-id'];
    const { subscription, place } = await o.events.checkSocket(
      caller,
      query,
      typeof lastEventId === 'string' ? lastEventId : undefined,
    );
    if (socket.destroyed) return place.giveBack();
    // Also where the handshake fails, and no socket comes of it.
    socket.once('close', () => place.giveBack());
    sockets.handleUpgrade(request, socket, head, (ws) => {
      o.events.acceptSocket(ws, subscription, caller, bearer).catch((error: Error) => {
        o.logger.error({ err: error }, 'an event socket failed');
        ws.terminate();
      });
    });
  }

  return {
    close() {
      for (const client of sockets.clients) client.terminate();
      sockets.close();
    },
  };
}
