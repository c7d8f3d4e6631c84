/** Says which node asks: by its name and password, looked up every few seconds, and before its body is read. */
import type { IncomingMessage } from 'node:http';
import { LRUCache } from 'lru-cache';
import { SwitchyardError } from '../../errors';
import {
  admitNode,
  isNodeName,
  isSecretOf,
  type AdmissionDeps as EnteringDeps,
} from '../../domains/nodes/entering/admission';
import { findNodeByName, type NodeRow } from '../../domains/nodes/nodes.store';
import { isUnreachable, type Db } from '../../infra/stores/db';
import { storeClock } from '../../infra/store-clock';
import type { CredentialGuard } from './credential-guard';
import { readCredentials } from './endpoint';
import { readNodeAddress } from './node-address';

export interface AdmissionDeps extends EnteringDeps {
  guard: CredentialGuard;
  /** Called when a node has just entered, so that it is connected to at once. */
  onNodeSeen: () => void;
}

/** How long a node's proof is taken as given; a removed node is out after this. */
const ADMITTED_MS = 5000;
/** While the database is unavailable, a node that was admitted before is admitted. */
const REMEMBERED_MS = 86_400_000;
const MOST_ADMITTED = 5000;

interface Admitted {
  node: NodeRow;
  /** The query it came with; another one may move the node. */
  url: string;
  atMs: number;
}

/** What a node asks for: at `xml` its query says where it is. */
export type Purpose = 'xml' | 'cdr';

export interface Admission {
  /**
   * The node at once if it was admitted a moment ago, so that a password is answered in the turn its question comes in.
   * @throws unauthorized (as all of these, by the promise) for everybody who is no node of this pool; node_pending for one
   * that waits to be approved; rate_limited if their address fails too often
   */
  admit(request: IncomingMessage, purpose: Purpose): NodeRow | Promise<NodeRow>;
}

/** Remembers of each purpose and credential the last node: no query string makes it grow. */
export function createAdmission(deps: AdmissionDeps): Admission {
  const admitted = new LRUCache<string, Admitted>({ max: MOST_ADMITTED });

  async function prove(request: IncomingMessage, purpose: Purpose, key: string, nowMs: number): Promise<NodeRow> {
    const header = request.headers.authorization ?? '';
    return deps.guard.prove(request, header, async (from) => {
      const credentials = readCredentials(header);
      if (!credentials) throw new SwitchyardError('unauthorized', "Send the node's name and password with HTTP Basic.");
      const address = purpose === 'xml' ? readNodeAddress(request.url ?? '') : undefined;
      const node = await admitNode(deps, credentials.name, credentials.password, address, from);
      if (!node) {
        admitted.delete(key);
        throw new SwitchyardError('unauthorized', `The node "${credentials.name.slice(0, 64)}" is not admitted.`);
      }
      if (node.state === 'pending') {
        admitted.delete(key);
        throw new SwitchyardError('node_pending', `The node "${node.name}" waits for an admin to approve it.`);
      }
      if (node.state === 'joining' || node.state === 'down') deps.onNodeSeen();
      admitted.set(key, { node, url: request.url ?? '', atMs: nowMs });
      return node;
    });
  }

  return {
    admit(request, purpose) {
      const key = `${purpose} ${request.headers.authorization ?? ''}`;
      const last = admitted.get(key);
      const known = last && (purpose === 'cdr' || last.url === request.url) ? last : undefined;
      const nowMs = storeClock.nowMs();
      if (known && nowMs - known.atMs < ADMITTED_MS) return known.node;
      return prove(request, purpose, key, nowMs).catch((error: unknown) => {
        if (isUnreachable(error) && known && nowMs - known.atMs < REMEMBERED_MS) return known.node;
        throw error;
      });
    },
  };
}

/**
 * The node whose own name and secret are sent, for requests that it makes for itself.
 * @throws unauthorized for an unknown name and for a wrong secret: the answer doesn't say which
 */
export async function requireOwnNode(db: Db, header: string | undefined): Promise<NodeRow> {
  const credentials = readCredentials(header);
  const node = credentials && isNodeName(credentials.name) ? await findNodeByName(db, credentials.name) : undefined;
  if (!node || node.state === 'pending' || !isSecretOf(node, credentials!.password))
    throw new SwitchyardError('unauthorized', 'Unknown node, or wrong secret.');
  return node;
}
