/**
 * Where simulated nodes of one process find each other by the address of their internode profile. Nodes of two
 * processes don't reach each other: such a call fails as one to a host that is away does.
 */
import { hostAndPort } from '../../src/address';
import type { NodeContext } from './node-context';

const nodes = new Map<string, NodeContext>();

export function registerNode(node: NodeContext): void {
  nodes.set(hostAndPort(node.host, node.internodePort), node);
}

export function unregisterNode(node: NodeContext): void {
  const key = hostAndPort(node.host, node.internodePort);
  if (nodes.get(key) === node) nodes.delete(key);
}

export function findRegisteredNode(hostAndPort: string): NodeContext | undefined {
  return nodes.get(hostAndPort);
}
