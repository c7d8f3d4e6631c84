/** Says which addresses can be a node's: we connect to them, other nodes send calls there, and browsers are told of them. */
import { lookup } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { readHost } from '../../../address';
import type { Logger } from '../../../infra/logger';
import type { NodeAddress } from '../nodes';
import { withDeadline } from '../../../infra/flow/deadline';

export interface AddressRules {
  /** NODE_ALLOWED_NETWORKS: loopback, link-local and the stores' own addresses are nodes' only in here. */
  allowedNetworks: readonly string[];
  /** NODE_WS_HOSTS: hosts beside its own to which a node may send browsers; `*.example.org` stands for all below it. */
  wsHosts: readonly string[];
  /** NODE_MAX_UNITS */
  maxUnits: number;
  /** Where Postgres and Redis are, as addresses, and at which ports. */
  storeHosts: readonly string[];
  storePorts: readonly number[];
  /** Where this replica answers. */
  ownHosts: readonly string[];
  ownPort: number;
}

type Family = 'ipv4' | 'ipv6';
const familyOf = (address: string): Family => (isIP(address) === 6 ? 'ipv6' : 'ipv4');

function networksOf(list: readonly string[]): (address: string) => boolean {
  const lists = { ipv4: new BlockList(), ipv6: new BlockList() };
  for (const network of list) {
    const [address = '', bits] = network.split('/');
    if (isIP(address) === 0) continue; // a name of ours is looked up before it comes here
    const family = familyOf(address);
    if (bits === undefined) lists[family].addAddress(address, family);
    else lists[family].addSubnet(address, Number(bits), family);
  }
  return (address) => lists[familyOf(address)].check(address, familyOf(address));
}

/** Nobody can be reached there, or not one alone; an IPv4 address written as IPv6 hides which it is. */
const isNoHost = networksOf(['0.0.0.0/8', '224.0.0.0/4', '240.0.0.0/4', '::/96', '::ffff:0:0/96', 'ff00::/8']);
const isLoopback = networksOf(['127.0.0.0/8', '::1/128']);
const isLinkLocal = networksOf(['169.254.0.0/16', 'fe80::/10']);

function refuseHost(name: string, address: string, rules: AddressRules): string | undefined {
  if (isIP(address) === 0) return `${name} must be an address, and no name: FreeSWITCH compares addresses`;
  const allow = 'to allow that, name it in NODE_ALLOWED_NETWORKS';
  const isLocal = isLoopback(address);
  if (!isLocal && isNoHost(address)) return `${name} ${address} is no host's own address`;
  if (isIP(address) === 6 && isLinkLocal(address))
    return `${name} ${address} is a link-local address of IPv6, which nobody reaches without a zone, and SIP has no place for one: give the node another address`;
  if (networksOf(rules.allowedNetworks)(address)) return undefined;
  if (isLocal) return `${name} ${address} is a loopback address; ${allow}`;
  if (isLinkLocal(address)) return `${name} ${address} is a link-local address; ${allow}`;
  if (networksOf(rules.storeHosts)(address)) return `${name} ${address} is where a store of Switchyard is; ${allow}`;
  return undefined;
}

/** @returns in words why it can't be a node's; undefined where it can */
export function refuseAddress(address: NodeAddress, rules: AddressRules): string | undefined {
  const { host, publicHost } = address;
  const hosts = refuseHost('host', host, rules) ?? (publicHost ? refuseHost('public', publicHost, rules) : undefined);
  if (hosts) return hosts;
  const ports = { esl: address.eslPort, sip: address.sipPort, internode: address.internodePort, ws: address.wsPort };
  for (const [name, port] of Object.entries(ports)) {
    if (rules.storePorts.includes(port)) return `${name} ${port} is the port of a store of Switchyard`;
    if (port === rules.ownPort && networksOf(rules.ownHosts)(host)) return `${name} ${port} is Switchyard's own port`;
  }
  if (address.capacityUnits > rules.maxUnits) {
    return `capacity ${address.capacityUnits} is over ${rules.maxUnits}; to allow that, raise NODE_MAX_UNITS`;
  }
  return address.wsUrl === null ? undefined : refuseWsUrl(address.wsUrl, address, rules);
}

function refuseWsUrl(text: string, address: NodeAddress, rules: AddressRules): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || url.username !== '' || url.password !== '') return 'wsUrl is no plain address of a WebSocket';
  const host = readHost(url.hostname);
  if (host === address.host || host === address.publicHost) return undefined;
  const isListed = rules.wsHosts.some((pattern) =>
    pattern.startsWith('*.') ? host.endsWith(pattern.slice(1).toLowerCase()) : host === readHost(pattern),
  );
  return isListed
    ? undefined
    : `wsUrl leads to ${host}, which is not the node; to allow that, name it in NODE_WS_HOSTS`;
}

const LOOKUP_MS = 2000;

/** The addresses of a host of ours; looked up once, with a deadline. */
async function addressesOf(host: string, logger: Logger): Promise<string[]> {
  const bare = host.replace(/^\[|\]$/g, '');
  if (isIP(bare)) return [bare];
  try {
    const found = await withDeadline(lookup(bare, { all: true }), LOOKUP_MS, () => {
      throw new Error('no answer in time');
    });
    return found.map(({ address }) => address);
  } catch (error) {
    logger.warn({ err: error, host: bare }, "a store's address is not known: no node is refused for being there");
    return [];
  }
}

function addressesOfThisMachine(): string[] {
  return Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address));
}

const DEFAULT_PORTS: Record<string, number> = {
  'postgres:': 5432,
  'postgresql:': 5432,
  'redis:': 6379,
  'rediss:': 6379,
};

export interface OwnPlaces {
  databaseUrl: string;
  redisUrl: string;
  httpHost: string;
  httpPort: number;
  nodeAllowedNetworks: readonly string[];
  nodeWsHosts: readonly string[];
  nodeMaxUnits: number;
}

/** Once, at the start: what is ours can be no node's. */
export async function readAddressRules(config: OwnPlaces, logger: Logger): Promise<AddressRules> {
  const stores = [new URL(config.databaseUrl), new URL(config.redisUrl)];
  const hosts = await Promise.all(stores.map((url) => addressesOf(url.hostname, logger)));
  const isAnywhere = config.httpHost === '0.0.0.0' || config.httpHost === '::';
  return {
    allowedNetworks: config.nodeAllowedNetworks,
    wsHosts: config.nodeWsHosts,
    maxUnits: config.nodeMaxUnits,
    storeHosts: [...new Set(hosts.flat())],
    storePorts: stores.map((url) => Number(url.port) || DEFAULT_PORTS[url.protocol] || 0),
    ownHosts: isAnywhere ? addressesOfThisMachine() : [config.httpHost],
    ownPort: config.httpPort,
  };
}
