/** Reads and writes addresses of networks: one spelling for each, so that what is one is never taken for two. */
import { BlockList, isIP, SocketAddress } from 'node:net';

export type Family = 'ipv4' | 'ipv6';

export const familyOf = (address: string): Family => (isIP(address) === 6 ? 'ipv6' : 'ipv4');

/**
 * The one spelling of an address: IPv6 in its shortest form and in lower case, without brackets and without a zone (`%eth0`);
 * what is IPv4 behind an IPv6 spelling (`::ffff:192.0.2.1`) is IPv4.
 * @returns undefined where it is no address
 */
export function readAddress(text: string): string | undefined {
  const inBrackets = /^\[([^[\]]*)\]$/.exec(text)?.[1];
  const address = (inBrackets ?? text).replace(/%.*$/s, '');
  const version = isIP(address);
  if (version === 4) return inBrackets === undefined ? address : undefined;
  if (version !== 6) return undefined;
  const { address: short } = new SocketAddress({ address, family: 'ipv6' });
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(short)?.[1] ?? short;
}

/** The one spelling of an address, and any other text in lower case: for comparing hosts of which some are names. */
export const readHost = (text: string): string => readAddress(text) ?? text.toLowerCase();

/** A host as it stands in a URI: an IPv6 address has brackets, without which its last part would be read as a port. */
export function uriHost(host: string): string {
  const bare = /^\[(.*)\]$/.exec(host)?.[1] ?? host;
  return isIP(bare) === 6 ? `[${bare}]` : host;
}

/** `192.0.2.1:5060`, `[2001:db8::1]:5060`. */
export const hostAndPort = (host: string, port: number): string => `${uriHost(host)}:${port}`;

const MAPPED_BITS = 96;

/**
 * The one spelling of ADDRESS or ADDRESS/BITS. A network of IPv4 behind an IPv6 spelling is one of IPv4: FreeSWITCH looks for
 * an IPv4 address among those alone.
 * @returns undefined where it is neither, or where it has a zone, which no list can compare
 */
export function readNetwork(text: string): string | undefined {
  const [written = '', bits, ...more] = text.split('/');
  const address = written.includes('%') ? undefined : readAddress(written);
  if (address === undefined || more.length > 0) return undefined;
  if (bits === undefined) return address;
  if (!/^\d{1,3}$/.test(bits)) return undefined;
  const isMapped = familyOf(address) === 'ipv4' && written.includes(':');
  const prefix = Number(bits) - (isMapped ? MAPPED_BITS : 0);
  return prefix >= 0 && prefix <= (familyOf(address) === 'ipv4' ? 32 : 128) ? `${address}/${prefix}` : undefined;
}

/** Addresses and networks as one list; what is neither (a host's name) is left out. */
export function listNetworks(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address, bits] = readNetwork(network)?.split('/') ?? [];
    if (address === undefined) continue;
    if (bits === undefined) list.addAddress(address, familyOf(address));
    else list.addSubnet(address, Number(bits), familyOf(address));
  }
  return list;
}

/** Whether an address, however it is spelt, is in the list; what is no address, a host's name say, is in none. */
export function isInList(list: BlockList, text: string): boolean {
  const address = readAddress(text);
  return address !== undefined && list.check(address, familyOf(address));
}
