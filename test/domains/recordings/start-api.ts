/** The room of recordings with real stores and a real HTTP door, for a node that is scripted or real. */
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { UNLIMITED } from '../../../src/domains/quotas/quotas';
import { createRecordings, openStorage, type Recordings } from '../../../src/domains/recordings';
import type { RecordingDeps } from '../../../src/domains/recordings/control/transition';
import type { RecordingView } from '../../../src/domains/recordings/view';
import { createEventLog } from '../../../src/domains/events/events';
import { insertNode, findNode, type NodeRow } from '../../../src/domains/nodes/nodes.store';
import { createRoomHooks, type RoomHooksOwner } from '../../../src/domains/rooms/sessions/listeners';
import {
  findSession,
  insertSession,
  updateSession,
  type SessionRow,
} from '../../../src/domains/rooms/sessions/sessions.store';
import type { SessionEnd } from '../../../src/domains/rooms/sessions/sessions.store';
import { createApp } from '../../../src/http/app';
import { createRecordingEndpoint } from '../../../src/http/nodes/recording.endpoint';
import { createHttpServer } from '../../../src/http/server';
import { createLogger } from '../../../src/infra/logger';
import { makeNodePassword } from '../../../src/domains/nodes/entering/node-password';
import { hashSecret } from '../../../src/infra/secrets';
import type { TestStores } from '../../stores';
import { until } from '../../until';

/** An upload that failed some times is tried again after up to a minute. */
const LONGEST_MS = 120_000;

export const KEY = 'sk_key_of_the_recordings_house';

export interface Answer {
  status: number;
  body: any; // eslint-disable-line @typescript-eslint/no-explicit-any
}

export interface RecordingApi {
  url: string;
  deps: RecordingDeps;
  recordings: Recordings;
  hooks: RoomHooksOwner;
  lines: string[];
  dir: string;
  domainId: string;
  call(method: string, path: string, body?: unknown): Promise<Answer>;
  addNode(name: string, secret?: string): Promise<NodeRow>;
  addRoom(name: string): Promise<string>;
  /** A living session of a room on a node; the hook is told, as the lead does. */
  openSession(
    roomId: string,
    node: NodeRow,
    o?: { meetingId?: string; record?: boolean; epoch?: number },
  ): Promise<SessionRow>;
  endSession(session: SessionRow, reason: SessionEnd): Promise<void>;
  addCall(node: NodeRow, legId?: string): Promise<{ callId: string; legId: string }>;
  read(id: string): Promise<RecordingView>;
  stateIs(id: string, state: string): Promise<RecordingView>;
  events(): Promise<{ type: string; data: Record<string, unknown> }[]>;
  close(): Promise<void>;
}

type Links = RecordingDeps['links'];

export async function startApi(
  stores: TestStores,
  links: Links,
  o: Partial<RecordingDeps> & { storage?: RecordingDeps['storage'] } = {},
): Promise<RecordingApi> {
  const lines: string[] = [];
  const logger = createLogger('debug', { write: (line: string) => void lines.push(line) });
  const { db } = stores;
  const dir = await mkdtemp(join(tmpdir(), 'recordings-'));
  const log = createEventLog(db, { ring: () => undefined }, logger);
  const hooks = createRoomHooks(logger);
  const domainId = randomUUID();
  await db('domains').insert({ id: domainId, name: `d${domainId.slice(0, 8)}.test` });
  const deps: RecordingDeps = {
    db,
    log,
    logger,
    quotas: UNLIMITED,
    links,
    storage: openStorage({ dir: join(dir, 'kept'), s3: undefined }),
    secretKey: randomBytes(32),
    commandTimeoutMs: 4000,
    keepDays: null,
    maxUploadBytes: 1_000_000_000,
    now: Date.now,
    ...o,
  };
  const routeDeps = { ...deps, findDomain: async () => ({ id: domainId, name: '' }) };
  const recordings = createRecordings(routeDeps, hooks);
  const entrance = createRecordingEndpoint(deps);
  const app = createApp({
    routes: recordings.routes,
    authenticate: async () => ({ apiKeyId: randomUUID(), scopes: ['admin'], domainId: null }),
    idempotency: {} as never,
    ready: async () => ({}),
    metrics: new Registry(),
    logger,
    version: '0',
    checkAnswers: true,
  });
  const server = createHttpServer((request, response) => {
    if (!entrance(request, response)) app(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  deps.uploadUrl = url;
  routeDeps.uploadUrl = url;

  const api: RecordingApi = {
    url,
    deps,
    recordings,
    hooks,
    lines,
    dir,
    domainId,
    async call(method, path, body) {
      const response = await fetch(`${url}${path}`, {
        method,
        headers: { authorization: `Bearer ${KEY}`, ...(body ? { 'content-type': 'application/json' } : {}) },
        body: body ? JSON.stringify(body) : undefined,
        signal: AbortSignal.timeout(60_000),
      });
      const text = await response.text();
      return { status: response.status, body: text ? (JSON.parse(text) as unknown) : undefined };
    },
    async addNode(name, secret = randomBytes(12).toString('hex')) {
      const id = randomUUID();
      const row = await insertNode(db, {
        id,
        name,
        secret_hash: hashSecret(secret),
        esl_password_sealed: makeNodePassword(deps.secretKey, id),
        host: '127.0.0.1',
        esl_port: 1,
        sip_port: 1,
        internode_port: 1,
        ws_port: 1,
        state: 'serving',
      });
      return (await findNode(db, row!.id))!;
    },
    async addRoom(name) {
      const id = randomUUID();
      await db('rooms').insert({ id, domain_id: domainId, name });
      return id;
    },
    async openSession(roomId, node, { meetingId, record = false, epoch = 1 } = {}) {
      const id = randomUUID();
      const session = await insertSession(db, {
        id,
        room_id: roomId,
        domain_id: domainId,
        node_id: node.id,
        epoch: String(epoch),
        meeting_id: meetingId ?? id,
        state: 'live',
        units: '1',
        settings: { record },
        started_at: new Date(),
      });
      hooks.sessionLive(session);
      return session;
    },
    async endSession(session, reason) {
      await updateSession(db, session.id, ['live'], { state: 'ended', end_reason: reason, ended_at: new Date() });
      hooks.sessionEnded((await findSession(db, session.id))!);
    },
    async addCall(node, legId = randomUUID()) {
      const callId = randomUUID();
      const call = { id: callId, domain_id: domainId, origin: 'api', from_address: 'user:1', to_address: 'user:2' };
      await db('calls').insert({ ...call, state: 'answered', node_id: node.id, place_before: new Date() });
      const of = { call_id: callId, node_id: node.id };
      await db('call_attempts').insert({
        ...of,
        number: 1,
        node_name: node.name,
        leg_id: legId,
        placed_at: new Date(),
      });
      await db('legs').insert({ ...of, id: legId, role: 'from', state: 'answered' });
      return { callId, legId };
    },
    async read(id) {
      const answer = await api.call('GET', `/v1/recordings/${id}`);
      if (answer.status !== 200) throw new Error(JSON.stringify(answer.body));
      return answer.body as RecordingView;
    },
    stateIs(id, state) {
      let view: RecordingView | undefined;
      return until(
        () => `it is ${state}: ${JSON.stringify(view)}\n${lines.slice(-20).join('')}`,
        async () => {
          view = await api.read(id);
          return view.state === state ? view : undefined;
        },
        LONGEST_MS,
      );
    },
    events: async () =>
      (await db('events').where({ stream: domainId }).orderBy('number')) as {
        type: string;
        data: Record<string, unknown>;
      }[],
    async close() {
      await recordings.stop();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await rm(dir, { recursive: true, force: true });
    },
  };
  return api;
}
