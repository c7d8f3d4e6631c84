/** Opens a replica's ports, and says of every replica, whatever its roles, whether it lives and what it has done. */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createOperationsApp } from '../http/operations';
import { followAnswers } from '../http/lame-duck';
import { createHttpServer } from '../http/server';
import { hostAndPort } from '../address';
import type { Container } from './container';
import type { Watch } from './readiness';
import type { Stops } from './stores';

/** @param beforeClose what holds connections that would keep it open @returns the address; @throws where the port is taken */
export async function listen(
  server: Server,
  at: { host: string; port: number },
  stops: Stops,
  beforeClose: () => void = () => undefined,
): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(at.port, at.host, resolve);
  });
  const finish = followAnswers(server);
  stops.push(async () => {
    beforeClose();
    await finish();
  });
  const { port } = server.address() as AddressInfo;
  return `http://${hostAndPort(at.host, port)}`;
}

/** Every replica has it, whatever its roles: /healthz, /readyz and /metrics, on a port of their own. @returns the address */
export async function startOperating(container: Container, watch: Watch, stops: Stops): Promise<string> {
  const { operationsHost: host, operationsPort: port } = container.config;
  const app = createOperationsApp({ ...watch, metrics: container.metrics.registry });
  return listen(createHttpServer(app), { host, port }, stops);
}
