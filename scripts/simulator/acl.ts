/** The network lists of a node, as acl.conf gives them and `reloadacl` reads them again. */
import { BlockList, isIP } from 'node:net';
import type { Element } from '../../src/freeswitch/xml/document';
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

/** What a node has on disk: freeswitch/autoload_configs/acl.conf.xml. */
export function floorLists(): NetworkLists {
  const esl = new BlockList();
  esl.addSubnet('127.0.0.0', 8, 'ipv4');
  esl.addSubnet('::1', 128, 'ipv6');
  return new Map([
    ['esl', esl],
    ['pool', new BlockList()],
  ]);
}

/** What `acl ADDRESS LIST` answers: a list of that name holds, and where there is none, the networks that it names itself. */
export function isAllowed(lists: NetworkLists, address: string, list: string): boolean {
  if (isIP(address) === 0) return false;
  const known = lists.get(list);
  if (known) return known.check(address, family(address));
  const named = new BlockList();
  for (const entry of list.split(',')) {
    const [network = '', bits = ''] = entry.split('/');
    if (isIP(network) && /^\d+$/.test(bits)) named.addSubnet(network, Number(bits), family(network));
  }
  return named.check(address, family(address));
}
