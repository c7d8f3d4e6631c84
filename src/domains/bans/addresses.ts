/** Addresses as they are counted and banned: one spelling for each, IPv6 by the /64 that one line is given. */
import { BlockList, isIP, SocketAddress } from 'node:net';

/** What is told where an address is none: what came without one is counted together. */
export const NO_ADDRESS = 'unknown';

const GROUPS = 8;

/** `::1:2` written out, each group without leading zeros. */
function expandIpv6(address: string): string[] {
  // Node writes the shortest form, with a last part like 1.2.3.4 only for what is mapped.
  const { address: short } = new SocketAddress({ address, family: 'ipv6' });
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
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined && isIP(mapped) === 4) return mapped;
  const groups = expandIpv6(address);
  if (groups.slice(0, 5).every((group) => group === '0') && groups[5] === 'ffff') {
    const [high, low] = [parseInt(groups[6]!, 16), parseInt(groups[7]!, 16)];
    return [high >> 8, high & 255, low >> 8, low & 255].join('.');
  }
  return `${groups.slice(0, 4).join(':')}::/64`;
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
    return bits === undefined || Number(bits) >= (isIP(address) === 6 ? 64 : 32);
  });
  const counted = small.map((network) => countedAddress(network.replace(/\/\d+$/, '')));
  return new Set(counted.filter((address) => address !== NO_ADDRESS));
}
