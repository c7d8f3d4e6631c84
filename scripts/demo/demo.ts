/** Plays a short story through the public API and prints it as it happens: a call, a room. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor, type ApiClient, type StreamedEvent } from '../api/client';
import { startPhone, type Phone } from '../sip-phone/phone';
import { playRoomChapter } from './demo-room';
import type { NodePlan } from '../nodes/media-nodes';

export interface DemoOptions {
  api: ApiClient;
  nodes: NodePlan[];
  /** The simulator's control, where nodes are simulated. */
  simulatorUrl: string | undefined;
  say: (line?: string) => void;
  interrupted: AbortSignal;
}

const DOMAIN = 'demo.test';
const USERS = [
  { username: 'alice', displayName: 'Alice' },
  { username: 'bob', displayName: 'Bob' },
] as const;
const ANSWER_AFTER_MS = 700;
const TALK_MS = 3000;
const STEP_TIMEOUT_MS = 15_000;

interface Call {
  id: string;
  state: string;
  outcome: string | null;
  node: string | null;
  hangupCause: string | null;
  talkSeconds: number | null;
}

interface Placement {
  decisions: { attempt: number; node: string | null; explanation: string[] }[];
}

/** @throws Error with the step that failed. */
export async function playDemo(options: DemoOptions): Promise<void> {
  const { api, say } = options;
  const phones: DemoPhone[] = [];
  const reading = new AbortController();
  const end = (): void => reading.abort();
  options.interrupted.addEventListener('abort', end, { once: true });
  const startedAt = Date.now();
  const tell = (line: string): void => say(`  ${((Date.now() - startedAt) / 1000).toFixed(2).padStart(6)} s  ${line}`);
  try {
    say(`\nA story, told through ${options.nodes[0]?.kind === 'real' ? 'real' : 'simulated'} nodes\n`);
    await provideDomain(api);
    tell(`POST /v1/domains    ${DOMAIN}`);
    const passwords = new Map<string, string>();
    for (const user of USERS) {
      const password = randomBytes(12).toString('base64url');
      passwords.set(user.username, password);
      const how = await provideUser(api, user, password);
      tell(`${how}    ${user.username}@${DOMAIN}`);
    }

    const following = api.follow(
      `/v1/events?domain=${DOMAIN}`,
      (event) => tell(`      event ${event.id}  ${describe(event)}`),
      reading.signal,
    );
    following.catch((fault: unknown) => tell(`      the event stream ended: ${(fault as Error).message}`));

    for (const [index, user] of USERS.entries()) {
      const node = options.nodes[index % options.nodes.length]!;
      tell(`${user.displayName}’s phone registers at ${node.name}`);
      phones.push(await registerPhone(options, node, user.username, passwords.get(user.username)!));
      await waitFor(
        `${user.username} to be known as registered`,
        () => findUser(api, user.username),
        (found) => Boolean((found as { registrations?: unknown[] } | undefined)?.registrations?.length),
        STEP_TIMEOUT_MS,
      );
    }

    tell('POST /v1/calls      {domain: "demo.test", from: "user:alice", to: "user:bob"}');
    const { id } = await api.post<Call>('/v1/calls', { domain: DOMAIN, from: 'user:alice', to: 'user:bob' });
    const read = (): Promise<Call> => api.get<Call>(`/v1/calls/${id}`);
    const call = await waitFor(
      'the call to be answered',
      read,
      ({ state }) => ['answered', 'ended'].includes(state),
      STEP_TIMEOUT_MS,
    );
    const placement = await api.get<Placement>(`/v1/calls/${id}/placement`);
    for (const decision of placement.decisions) {
      tell(`GET …/placement     attempt ${decision.attempt}: why ${decision.node ?? 'no node'}?`);
      decision.explanation.forEach((line) => tell(`      ${line}`));
    }

    if (call.state === 'answered') {
      tell(`They talk for ${TALK_MS / 1000} seconds…`);
      await sleep(TALK_MS, undefined, { signal: reading.signal });
      tell('POST …/hangup');
      await api.post(`/v1/calls/${id}/hangup`);
    }
    const ended = await waitFor('the call to end', read, ({ state }) => state === 'ended', STEP_TIMEOUT_MS);
    await sleep(300); // lets the last events arrive before the last line
    tell(`The call: ${ended.outcome}, ${ended.talkSeconds ?? 0} s of talk, on ${ended.node} (${ended.hangupCause})`);
    if (!options.simulatorUrl) tell(`Sound heard: ${phones.map((p) => `${p.heard()} RTP packets`).join(' and ')}`);
    if (ended.outcome !== 'answered') throw new Error(`The demo call ended as "${ended.outcome}", not "answered".`);
    tell('They meet again, in a room.');
    await playRoomChapter({ api, domain: DOMAIN, guests: USERS, tell });
    await sleep(300);
    say('\nThat was the story.');
  } finally {
    options.interrupted.removeEventListener('abort', end);
    for (const phone of phones) await phone.stop();
    reading.abort();
  }
}

async function provideDomain(api: ApiClient): Promise<void> {
  try {
    await api.post('/v1/domains', { name: DOMAIN, displayName: 'Demo' });
  } catch (fault) {
    if ((fault as { code?: string }).code !== 'conflict') throw fault; // it is there from an earlier run
  }
}

async function findUser(api: ApiClient, username: string): Promise<{ id: string } | undefined> {
  const list = await api.get<{ items: { id: string }[] }>(`/v1/users?domain=${DOMAIN}&username=${username}`);
  return list.items[0];
}

async function provideUser(
  api: ApiClient,
  user: { username: string; displayName: string },
  password: string,
): Promise<string> {
  const found = await findUser(api, user.username);
  if (found) {
    await api.patch(`/v1/users/${found.id}`, { password });
    return 'PATCH /v1/users/…';
  }
  await api.post('/v1/users', { domain: DOMAIN, password, ...user });
  return 'POST /v1/users   ';
}

/** A phone of the demo, at a real node or at a simulated one. */
type DemoPhone = Pick<Phone, 'heard' | 'stop'>;

async function registerPhone(
  options: DemoOptions,
  node: NodePlan,
  username: string,
  password: string,
): Promise<DemoPhone> {
  if (!options.simulatorUrl) {
    return startPhone({
      username,
      domain: DOMAIN,
      password,
      nodeHost: node.host,
      nodePort: node.sipPort,
      behaviour: { answerAfterMs: ANSWER_AFTER_MS },
      sound: 'silence',
      timeoutMs: STEP_TIMEOUT_MS,
    });
  }
  const answer = await fetch(`${options.simulatorUrl}/phones`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      node: node.name,
      username,
      domain: DOMAIN,
      password,
      behaviour: { answerAfterMs: ANSWER_AFTER_MS },
    }),
    signal: AbortSignal.timeout(STEP_TIMEOUT_MS),
  });
  if (!answer.ok) throw new Error(`The simulated phone could not register: ${await answer.text()}`);
  return { heard: () => 0, stop: () => Promise.resolve() };
}

/** One line of what an event says: its type and what is short enough to read. */
function describe(event: StreamedEvent): string {
  const inner = (event.data.data ?? event.data) as Record<string, unknown>;
  const said = Object.entries(inner)
    .filter(([, value]) => ['string', 'number', 'boolean'].includes(typeof value) && String(value).length <= 40)
    .filter(([name]) => !['stream', 'type', 'number', 'id'].includes(name) && !/id$/i.test(name))
    .slice(0, 6)
    .map(([name, value]) => `${name}=${String(value)}`);
  return `${event.type.padEnd(24)} ${said.join(' ')}`;
}
