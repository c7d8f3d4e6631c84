/** The network lists of a node, as acl.conf gives them and `reloadacl` reads them again. */
import { BlockList, isIP } from 'node:net';
import type { Element } from '../freeswitch/xml/document';
import { child, childrenOf } from './xml-client';

export type NetworkLists = ReadonlyMap<string, BlockList>;

const family = (address: string): 'ipv4' | 'ipv6' => (isIP(address) === 6 ? 'ipv6' : 'ipv4');

/** @param section the answer to acl.conf; undefined where there was none: then there are no lists */
export function readNetworkLists(section: Element | undefined): NetworkLists {
  const lists = new Map<string, BlockList>();
  for (const list of childrenOf(child(child(section, 'configuration'), 'network-lists'), 'list')) {
    const allowed = new BlockList();
    for (const node of childrenOf(list, 'node')) {
      const [address = '', bits] = String(node.attributes?.cidr ?? '').split('/');
      if (node.attributes?.type === 'allow' && isIP(address)) {
        allowed.addSubnet(address, Number(bits), family(address));
      }
    }
    lists.set(String(list.attributes?.name ?? ''), allowed);
  }
  return lists;
}

/** What `acl ADDRESS LIST` answers. */
export const isAllowed = (lists: NetworkLists, address: string, list: string): boolean =>
  isIP(address) !== 0 && (lists.get(list)?.check(address, family(address)) ?? false);
