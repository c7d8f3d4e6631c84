/** From which address a request comes, for limits: behind a proxy that we trust it is what that proxy says. */
import type { IncomingMessage } from 'node:http';
import type { BlockList } from 'node:net';
import { countedAddress, NO_ADDRESS } from '../../domains/bans/addresses';
import { isInList, readAddress } from '../../address';

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
  const own = request.socket.remoteAddress ?? '';
  let address = readAddress(own) ?? own;
  while (isInList(trusted, address)) {
    const before = readAddress(chain.pop() ?? '');
    if (before === undefined) break;
    address = before;
  }
  return address;
}

/** Who counts as one: an IPv4 address, or the /64 of an IPv6 one, since a single customer has all of that. */
export function limitedBy(address: string): string {
  const counted = countedAddress(address);
  return counted === NO_ADDRESS ? address : counted;
}
