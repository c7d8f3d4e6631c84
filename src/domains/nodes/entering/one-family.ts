/** Keeps a pool's nodes in one family of addresses, IPv4 or IPv6: a node has one address for SIP, and can't call the other's. */
import type { Queryable } from '../../../infra/stores/db';
import { familyOf } from '../../../address';
import { findNodeOfOtherFamily } from '../nodes.store';

/** @returns in words why a node may not be at that host; undefined where it may */
export async function refuseMixed(db: Queryable, o: { notName: string; host: string }): Promise<string | undefined> {
  const other = await findNodeOfOtherFamily(db, o);
  if (!other) return undefined;
  const [own, theirs] = familyOf(o.host) === 'ipv6' ? ['IPv6', 'IPv4'] : ['IPv4', 'IPv6'];
  return `${o.host} is an address of ${own}, and the node "${other.name}" of this pool is at ${other.host}: those two could not call each other. Give this node an address of ${theirs}, or remove the nodes of ${theirs} first.`;
}
