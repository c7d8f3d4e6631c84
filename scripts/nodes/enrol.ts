/** Enrols a node before it starts: its token is shown here and nowhere else, and the node itself holds its own secret alone. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiClient } from '../api/client';
import { explainFetchFault } from '../api/faults';
import { StartFault } from '../project';

export interface NodeToEnrol {
  /** Its xml_curl address; the query, where there is one, says how it can be reached. */
  xmlUrl: string;
  name: string;
  /** What it will show from now on; makeNodeSecret() makes one. */
  secret: string;
}

const TIMEOUT_MS = 10_000;

export const makeNodeSecret = (): string => randomBytes(24).toString('base64url');

/** The door beside the one where the node asks. */
export function enrolUrlOf(xmlUrl: string): string {
  const url = new URL(xmlUrl);
  url.pathname = url.pathname.replace(/\/xml$/, '/enrol');
  return url.toString();
}

export type Enrolled = 'in' | 'pending' | 'no_token';

/**
 * @param token left out: asks whether the node is in already
 * @returns `no_token` where it is not in, and the token is none for it @throws StartFault with Switchyard's own words
 */
export async function enrolNode(node: NodeToEnrol, token?: string): Promise<Enrolled> {
  const url = enrolUrlOf(node.xmlUrl);
  const answer = await fetch(url, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(`${node.name}:${node.secret}`).toString('base64')}` },
    body: new URLSearchParams(token === undefined ? {} : { token }),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  }).catch((fault: unknown) => {
    throw new Error(explainFetchFault(url, fault));
  });
  const text = (await answer.text()).trim();
  if (answer.status === 204) return 'in';
  if (answer.status === 202) return 'pending';
  if (answer.status === 401) return 'no_token';
  throw new StartFault(`${node.name} was not enrolled: ${answer.status} ${text}`);
}

/** As an admin, whose wish to have this node is the yes: with a token for its name, made now and used at once. */
export async function enrolAsAdmin(api: ApiClient, node: NodeToEnrol): Promise<void> {
  let state = await enrolNode(node);
  if (state === 'no_token') {
    const { token } = await api.post<{ token: string }>('/v1/nodes/tokens', { name: node.name, expiresInSeconds: 60 });
    state = await enrolNode(node, token);
  }
  if (state === 'no_token') throw new StartFault(`${node.name} was not enrolled: its token was rejected.`);
  if (state === 'pending') await approveNode(api, node.name);
}

export async function approveNode(api: ApiClient, name: string): Promise<void> {
  const { items } = await api.get<{ items: { id: string; name: string; state: string }[] }>('/v1/nodes');
  const waiting = items.find((node) => node.name === name);
  if (waiting?.state === 'pending') await api.post(`/v1/nodes/${waiting.id}/approve`);
}

/** Tries until it is in, or stopped: while Switchyard is away, and while an admin's yes is waited for. */
export async function enrolPatiently(
  node: NodeToEnrol,
  token: string | undefined,
  o: { say: (line: string) => void; stopped: AbortSignal; lookMs: number },
): Promise<boolean> {
  let said = '';
  const say = (line: string): void => {
    if (line !== said) o.say((said = line));
  };
  while (!o.stopped.aborted) {
    try {
      const state = await enrolNode(node, token);
      if (state === 'in') return true;
      if (state === 'no_token') throw new StartFault(`${node.name} is not enrolled, and has no valid join token.`);
      say(`${node.name} waits for an admin: ./scripts/pool approve ${node.name}`);
    } catch (fault) {
      if (fault instanceof StartFault && !/: 5\d\d /.test(fault.message)) throw fault;
      say((fault as Error).message);
    }
    await sleep(o.lookMs, undefined, { signal: o.stopped }).catch(() => undefined);
  }
  return false;
}
