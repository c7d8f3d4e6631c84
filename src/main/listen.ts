/** Opens a replica's HTTP port, and says of every replica, whatever its roles, whether it lives and what it has done. */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Config } from '../config';
import { createOperationsApp } from '../http/operations';
import { createHttpServer } from '../http/server';
import type { House } from './house';
import type { Stops } from './stores';

/** @param beforeClose what holds connections that would keep it open @returns the address; @throws where the port is taken */
export async function listen(
  server: Server,
  config: Pick<Config, 'httpHost' | 'httpPort'>,
  stops: Stops,
  beforeClose: () => void = () => undefined,
): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(config.httpPort, config.httpHost, resolve);
  });
  stops.push(
    () =>
      new Promise<void>((resolve) => {
        beforeClose();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  const { port } = server.address() as AddressInfo;
  return `http://${config.httpHost}:${port}`;
}

/** Whether each store answers. */
export const checkStores =
  ({ stores: { db, redis } }: House) =>
  async (): Promise<Record<string, boolean>> => ({
    postgres: await db.raw('select 1').then(
      () => true,
      () => false,
    ),
    redis: redis.status === 'ready',
  });

/** A replica without the role `api` answers /healthz, /readyz and /metrics, and nothing else. */
export async function startOperating(house: House, stops: Stops): Promise<string> {
  const app = createOperationsApp({ ready: checkStores(house), metrics: house.metrics.registry });
  return listen(createHttpServer(app), house.config, stops);
}
