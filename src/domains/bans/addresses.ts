/** Addresses as they are counted and banned: one spelling for each, IPv6 by the /64 that one line is given. */
import type { BlockList } from 'node:net';
import { familyOf, isInList, readAddress, readNetwork } from '../../address';

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
 * The address under which somebody is counted. Whoever has one IPv6 address has 2^64 of them, so the network counts; it is
 * read back as it is written here.
 */
export function countedAddress(text: string | undefined): string {
  const address = readAddress((text ?? '').replace(/(?<=:.*)\/64$/, ''));
  if (address === undefined) return NO_ADDRESS;
  return familyOf(address) === 'ipv4' ? address : `${expandIpv6(address).slice(0, 4).join(':')}::/64`;
}

/**
 * Whether a counted address is in the list. Of an IPv6 network of 64 bits it is enough that one address in the list is
 * inside: it must not be shut with its neighbours.
 */
export function isListed(list: BlockList, singles: ReadonlySet<string>, counted: string): boolean {
  if (counted === NO_ADDRESS) return true; // nobody in particular: shutting it would shut strangers together
  if (singles.has(counted)) return true;
  return isInList(list, counted.replace(/\/64$/, ''));
}

/** The counted form of all in a list of addresses and networks that is a single address, or less than a /64 of IPv6. */
export function countedSingles(networks: readonly string[]): Set<string> {
  const small = networks.filter((network) => {
    const [address = '', bits] = readNetwork(network)?.split('/') ?? [];
    return bits === undefined || Number(bits) >= (familyOf(address) === 'ipv6' ? 64 : 32);
  });
  const counted = small.map((network) => countedAddress(readNetwork(network)?.replace(/\/\d+$/, '')));
  return new Set(counted.filter((address) => address !== NO_ADDRESS));
}
