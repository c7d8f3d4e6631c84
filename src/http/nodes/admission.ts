/** Says which node stands at a door: by its name and password, looked up every few seconds, and before its body is read. */
import type { IncomingMessage } from 'node:http';
import { SwitchyardError } from '../../errors';
import { admitNode, type AdmissionDeps as EnteringDeps } from '../../domains/nodes/entering/admission';
import type { NodeRow } from '../../domains/nodes/nodes.store';
import { isUnreachable } from '../../infra/stores/db';
import { storeClock } from '../../infra/store-clock';
import type { CredentialGuard } from './credential-guard';
import { readNodeAddress } from './node-address';

export interface AdmissionDeps extends EnteringDeps {
  guard: CredentialGuard;
  /** Told when a node has just entered, so that it is connected to at once. */
  onNodeSeen: () => void;
}

/** How long a node's proof is taken as given; a removed node is out after this. */
const ADMITTED_MS = 5000;
/** While the database is away, a node that was let in before is let in. */
const REMEMBERED_MS = 86_400_000;

interface Admitted {
  node: NodeRow;
  /** With what query it came; another one may move the node. */
  url: string;
  atMs: number;
}

/** Nodes that were let in. Of each door and credential the last: no query string makes it grow. */
export type AdmittedNodes = Map<string, Admitted>;
const MOST_ADMITTED = 5000;

export function readCredentials(header: string | undefined): { name: string; password: string } | undefined {
  if (!header?.startsWith('Basic ')) return undefined;
  const text = Buffer.from(header.slice(6), 'base64').toString('utf8');
  const at = text.indexOf(':');
  return at < 0 ? undefined : { name: text.slice(0, at), password: text.slice(at + 1) };
}

export type Door = 'xml' | 'cdr';

const admissionKey = (request: IncomingMessage, door: Door): string => `${door} ${request.headers.authorization ?? ''}`;

/** Who was let in with these credentials, and at the XML door with this query. */
export function findAdmitted(admitted: AdmittedNodes, request: IncomingMessage, door: Door): Admitted | undefined {
  const known = admitted.get(admissionKey(request, door));
  return known && (door === 'cdr' || known.url === request.url) ? known : undefined;
}

export const isFresh = (known: Admitted, nowMs: number): boolean => nowMs - known.atMs < ADMITTED_MS;

/** @throws unauthorized for everybody who is no node of this pool; node_pending for one that waits to be approved; rate_limited where their address tries too often. */
export async function admit(
  deps: AdmissionDeps,
  admitted: AdmittedNodes,
  request: IncomingMessage,
  door: Door,
): Promise<NodeRow> {
  const header = request.headers.authorization ?? '';
  const key = admissionKey(request, door);
  const known = findAdmitted(admitted, request, door);
  const nowMs = storeClock.nowMs();
  if (known && isFresh(known, nowMs)) return known.node;
  try {
    return await deps.guard.prove(request, header, async (from) => {
      const credentials = readCredentials(header);
      if (!credentials) throw new SwitchyardError('unauthorized', 'A node shows its name and its password.');
      const address = door === 'xml' ? readNodeAddress(request.url ?? '') : undefined;
      const node = await admitNode(deps, credentials.name, credentials.password, address, from);
      if (!node) {
        admitted.delete(key);
        throw new SwitchyardError('unauthorized', `The node "${credentials.name.slice(0, 64)}" may not enter.`);
      }
      if (node.state === 'pending') {
        admitted.delete(key);
        throw new SwitchyardError('node_pending', `Not yet: the node "${node.name}" waits for an admin to approve it.`);
      }
      if (node.state === 'joining' || node.state === 'down') deps.onNodeSeen();
      admitted.delete(key);
      admitted.set(key, { node, url: request.url ?? '', atMs: nowMs });
      if (admitted.size > MOST_ADMITTED) admitted.delete(admitted.keys().next().value!);
      return node;
    });
  } catch (error) {
    if (isUnreachable(error) && known && nowMs - known.atMs < REMEMBERED_MS) return known.node;
    throw error;
  }
}
