/** Addresses as they are counted and banned: one spelling for each, IPv6 by the /64 that one line is given. */
import { BlockList, isIP, SocketAddress } from 'node:net';

/** What is told where an address is none: what came without one is counted together. */
export const NO_ADDRESS = 'unknown';

const GROUPS = 8;

/** `::1:2` written out. @param short in the shortest form */
function expandIpv6(short: string): string[] {
  const [head = '', tail] = short.split('::');
  const groups = (text: string | undefined): string[] => (text ? text.split(':') : []);
  const [before, after] = [groups(head), groups(tail)];
  const zeros = tail === undefined ? 0 : GROUPS - before.length - after.length;
  return [...before, ...Array<string>(zeros).fill('0'), ...after];
}

/**
 * The address under which somebody is counted. Whoever has one IPv6 address has 2^64 of them, so the network counts;
 * what is IPv4 behind an IPv6 spelling is IPv4.
 */
export function countedAddress(text: string | undefined): string {
  const address = (text ?? '').replace(/^\[|\]$/g, '').replace(/%.*$/, '');
  if (isIP(address) === 4) return address;
  if (isIP(address) !== 6) return NO_ADDRESS;
  // The shortest form, in lower case; of what is mapped the last part is like 1.2.3.4.
  const { address: short } = new SocketAddress({ address, family: 'ipv6' });
  const mapped = /^::ffff:([\d.]+)$/.exec(short)?.[1];
  return mapped ?? `${expandIpv6(short).slice(0, 4).join(':')}::/64`;
}

/** Addresses and networks (ADDRESS or ADDRESS/BITS) as one list; what is neither (a host's name) is left out. */
export function listNetworks(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', bits] = network.split('/');
    const version = isIP(address);
    if (version === 0) continue;
    const family = version === 6 ? 'ipv6' : 'ipv4';
    const most = version === 6 ? 128 : 32;
    const prefix = bits === undefined ? most : Number(bits);
    if (Number.isInteger(prefix) && prefix >= 0 && prefix <= most) list.addSubnet(address, prefix, family);
  }
  return list;
}

/**
 * Whether a counted address is in the list. Of an IPv6 network of 64 bits it is enough that one address in the list is
 * inside: it must not be shut with its neighbours.
 */
export function isListed(list: BlockList, singles: ReadonlySet<string>, counted: string): boolean {
  if (counted === NO_ADDRESS) return true; // nobody in particular: shutting it would shut strangers together
  if (singles.has(counted)) return true;
  const address = counted.replace(/\/64$/, '');
  return list.check(address, counted.includes(':') ? 'ipv6' : 'ipv4');
}

/** The counted form of all in a list of addresses and networks that is a single address, or less than a /64 of IPv6. */
export function countedSingles(networks: readonly string[]): Set<string> {
  const small = networks.filter((network) => {
    const [address = '', bits] = network.split('/');
    const [least, most] = isIP(address) === 6 ? [64, 128] : [32, 32];
    return bits === undefined || (Number(bits) >= least && Number(bits) <= most);
  });
  const counted = small.map((network) => countedAddress(network.replace(/\/\d+$/, '')));
  return new Set(counted.filter((address) => address !== NO_ADDRESS));
}
