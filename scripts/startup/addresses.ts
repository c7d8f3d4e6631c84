/** Says where a `start` can be asked: the API, the doors of nodes, and operations. */
import { hostAndPort } from '../../src/address';
import { findFreePort, isPortFree } from '../stores/ports';
import type { RunFile } from './run-state';
import type { StartOptions } from './options';

/** Who listens everywhere is reached by the loopback. */
const ANYWHERE: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };
/** As in src/config.ts. */
const OPERATIONS_PORT = 8090;

/** A port that nobody asked for may be another one; the summary and run.json say which. */
export async function chooseOperationsPort(options: StartOptions): Promise<number> {
  if (options.operationsPort) return options.operationsPort;
  const isUsual = options.httpPort !== OPERATIONS_PORT && (await isPortFree(OPERATIONS_PORT));
  return isUsual ? OPERATIONS_PORT : findFreePort();
}

export type Addresses = Pick<RunFile, 'url' | 'operationsUrl' | 'nodesUrl'>;

/** As whoever is on this machine reaches them. */
export function addressesOf(options: StartOptions, operationsPort: number): Addresses {
  const urlOf = (host: string, port: number): string => `http://${hostAndPort(ANYWHERE[host] ?? host, port)}`;
  const url = urlOf(options.httpHost, options.httpPort);
  return {
    url,
    operationsUrl: urlOf(options.operationsHost, operationsPort),
    nodesUrl: options.nodesPort ? urlOf(options.nodesHost, options.nodesPort) : url,
  };
}
