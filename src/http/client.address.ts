/** From which address a request comes, for limits: behind a proxy that we trust it is what that proxy says. */
import { BlockList, isIP } from 'node:net';
import type { IncomingMessage } from 'node:http';

/** An IPv4 address that came over an IPv6 socket is an IPv4 address. */
const plain = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/i, '');

const familyOf = (address: string): 'ipv4' | 'ipv6' => (isIP(address) === 4 ? 'ipv4' : 'ipv6');

/** Addresses and networks (ADDRESS/BITS), as a list that can be asked. */
export function listNetworks(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', bits] = network.split('/');
    if (isIP(address) === 0) continue;
    if (bits === undefined) list.addAddress(address, familyOf(address));
    else list.addSubnet(address, Number(bits), familyOf(address));
  }
  return list;
}

/**
 * The nearest address of which no trusted proxy is the owner: X-Forwarded-For is believed from its end, for as long as
 * those who wrote it are trusted. The same as Express's `request.ip`, for requests that don't pass Express.
 */
export function readClientAddress(
  request: { headers: IncomingMessage['headers']; socket: { remoteAddress?: string } },
  trusted: BlockList,
): string {
  const said = [request.headers['x-forwarded-for'] ?? []].flat().join(',');
  const chain = said.split(',').map((text) => text.trim());
  let address = plain(request.socket.remoteAddress ?? '');
  while (isIP(address) !== 0 && trusted.check(address, familyOf(address))) {
    const before = plain(chain.pop() ?? '');
    if (isIP(before) === 0) break;
    address = before;
  }
  return address;
}

/** Who counts as one: an IPv4 address, or the /64 of an IPv6 one, since a single customer has all of that. */
export function limitedBy(address: string): string {
  const text = plain(address);
  if (isIP(text) !== 6) return text;
  const [head = '', tail] = text.split('%')[0]!.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length);
  const groups = [...left, ...Array.from({ length: zeros }, () => '0'), ...right];
  return `${groups
    .slice(0, 4)
    .map((group) => parseInt(group, 16).toString(16))
    .join(':')}::/64`;
}
