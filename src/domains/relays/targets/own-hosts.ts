/** Which names and addresses are the pool's and Switchyard's own: a relay that leads there is somebody trying doors. */
import type { NetworkInterfaceInfo } from 'node:os';
import type { Config } from '../../../config';
import type { NodeRow } from '../../nodes/nodes.store';

type Places = Pick<
  Config,
  'databaseUrl' | 'redisUrl' | 'publicUrl' | 'httpHost' | 'relayHost' | 'relayListenHost' | 'turnUrls' | 'recordingsS3'
>;

/** @param interfaces of this machine, as os.networkInterfaces() tells them */
export function listOwnHosts(
  config: Places,
  nodes: readonly Pick<NodeRow, 'host' | 'ws_url'>[],
  interfaces: NodeJS.Dict<Pick<NetworkInterfaceInfo, 'address'>[]>,
): string[] {
  const urls = [config.databaseUrl, config.redisUrl, config.publicUrl, config.recordingsS3?.endpoint];
  const found = [
    ...[...urls, ...nodes.map((node) => node.ws_url)].map(hostOf),
    ...config.turnUrls.map((url) => hostOf(url.replace(/^(turns?):/, '$1://'))),
    config.httpHost,
    config.relayHost,
    config.relayListenHost,
    ...nodes.map((node) => node.host),
    ...Object.values(interfaces).flatMap((list) => list?.map(({ address }) => address) ?? []),
  ];
  return [...new Set(found.filter((host): host is string => Boolean(host)))];
}

function hostOf(url: string | null | undefined): string | undefined {
  if (!url || !URL.canParse(url)) return undefined;
  return new URL(url).hostname.replace(/^\[|\]$/g, '');
}
