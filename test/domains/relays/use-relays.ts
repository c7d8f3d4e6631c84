/** Relays with a scripted node, a target and a real relay process, for the tests that look at them over REST. */
import { randomBytes } from 'node:crypto';
import { findFreePort } from '../../../scripts/stores/ports';
import { UNLIMITED } from '../../../src/domains/quotas/quotas';
import { createEventLog } from '../../../src/domains/events/events';
import { readEvents } from '../../../src/domains/events/events.store';
import { createRelays, type Relays } from '../../../src/domains/relays';
import { createRelayProcess, type RelayProcess } from '../../../src/domains/relays/process/relay-process';
import type { presentRelay } from '../../../src/domains/relays/relays';
import { createRoomHooks } from '../../../src/domains/rooms/sessions/listeners';
import { updateSession, type SessionRow } from '../../../src/domains/rooms/sessions/sessions.store';
import { createId } from '../../../src/infra/ids';
import { createLogger } from '../../../src/infra/logger';
import { useStores } from '../../stores';
import { until } from '../../until';
import { openRtmpTarget, type RtmpTarget } from './rtmp-target';
import { createScriptedNode, type ScriptedNode } from './scripted-node';

export type Relay = ReturnType<typeof presentRelay>;
export const KEY = 'live_0f3d_a-very-secret-stream-key';

/** Call at the top of a file. Node, target and relays are new for each test; the relay process is one for all. */
export function useRelays(o: { silentSeconds?: number } = {}) {
  // Before the stores have theirs.
  afterAll(() => relayProcess?.stop());
  const stores = useStores();
  const secretKey = randomBytes(32);
  const lines: string[] = [];
  const logger = createLogger('trace', { write: (line: string) => void lines.push(line) });
  const hooks = createRoomHooks(logger);
  let domainId = '';
  let nodeId = '';
  let node: ScriptedNode;
  let target: RtmpTarget;
  let relays: Relays;
  let relayProcess: RelayProcess;

  beforeAll(async () => {
    // It takes a second to start from source.
    relayProcess = createRelayProcess({ logger, listen: { host: '127.0.0.1', port: 0 }, ...o });
    domainId = createId();
    await stores.db('domains').insert({ id: domainId, name: 'clinic.test' });
    nodeId = await addNode('node-1');
  });

  beforeEach(async () => {
    node = createScriptedNode();
    // Not just any port: that of one that is away for a while must not be given to somebody else.
    target = await openRtmpTarget(await findFreePort());
    relays = await openRelays();
  });

  afterEach(async () => {
    await relays.stop();
    node.stop();
    await target.stop();
    await stores.db('relays').delete();
  });

  async function addNode(name: string): Promise<string> {
    const id = createId();
    const ports = { esl_port: 1, sip_port: 2, internode_port: 3, ws_port: 4 };
    const row = { id, name, secret_hash: 'x', esl_password_sealed: 'x', host: '127.0.0.1', ...ports, state: 'serving' };
    await stores.db('nodes').insert(row);
    return id;
  }

  function openRelays(changed: Partial<Parameters<typeof createRelays>[0]> = {}): Promise<Relays> {
    return createRelays({
      db: stores.db,
      log: createEventLog(stores.db, { ring: () => undefined }, logger),
      logger,
      quotas: UNLIMITED,
      links: { api: (id, command) => node.api(id, command), isUp: () => true },
      hooks,
      findDomain: async () => ({ id: domainId }),
      secretKey,
      commandTimeoutMs: 20_000,
      relayHost: '127.0.0.1',
      relayPort: 0,
      allowPrivate: true,
      allowedHosts: [],
      ports: [[1, 65_535]],
      findOwnHosts: async () => ['127.0.0.1'],
      stepTimeoutMs: 20_000,
      relayProcess,
      ...changed,
    });
  }

  async function addRoom(): Promise<string> {
    const id = createId();
    await stores.db('rooms').insert({ id, domain_id: domainId, name: `room-${id.slice(-12)}` });
    return id;
  }

  async function openSession(
    roomId: string,
    session: { epoch?: number; meetingId?: string; on?: string } = {},
  ): Promise<string> {
    const id = createId();
    await stores.db('sessions').insert({
      id,
      room_id: roomId,
      domain_id: domainId,
      node_id: session.on ?? nodeId,
      epoch: session.epoch ?? 1,
      meeting_id: session.meetingId ?? id,
      state: 'live',
      units: 1,
      settings: '{}',
      started_at: new Date(),
    });
    hooks.sessionLive((await stores.db('sessions').where({ id }).first()) as SessionRow);
    return id;
  }

  async function endSession(id: string, reason: SessionRow['end_reason']): Promise<void> {
    const row = await updateSession(stores.db, id, ['live'], {
      state: 'ended',
      ended_at: new Date(),
      end_reason: reason,
    });
    hooks.sessionEnded(row!);
  }

  async function ask<T = Relay>(
    method: string,
    path: string,
    asked: { id?: string; body?: unknown; query?: Record<string, string>; seesDomain?: string | null } = {},
  ): Promise<T> {
    const route = relays.routes.find((each) => each.method === method && each.path === path)!;
    const sees = asked.seesDomain === undefined ? domainId : asked.seesDomain;
    const context = {
      params: { id: asked.id },
      query: route.query?.parse(asked.query ?? {}),
      body: route.body?.parse(asked.body ?? {}),
      caller: { apiKeyId: 'k', scopes: ['domain'], domainId: sees },
    };
    return (await route.handle(context as never))!.body as T;
  }
  const create = (roomId: string, body: Record<string, unknown> = {}): Promise<Relay> =>
    ask('post', '/v1/rooms/{id}/relays', {
      id: roomId,
      body: { url: `rtmp://127.0.0.1:${target.port}/live`, streamKey: KEY, ...body },
    });
  const read = (id: string): Promise<Relay> => ask('get', '/v1/relays/{id}', { id });
  function relayIs(id: string, state: Relay['state']): Promise<Relay> {
    let last: Relay | undefined;
    return until(
      () => `the relay is ${state}: ${JSON.stringify(last)}`,
      async () => ((last = await read(id)).state === state ? last : undefined),
      120_000, // it waits longer after each failure
    );
  }
  const events = async (id: string) =>
    (await readEvents(stores.db, domainId, 0, 10_000)).filter((event) => event.data.relayId === id);

  return {
    stores,
    /** Every line that was logged. */
    lines,
    get node() {
      return node;
    },
    get target() {
      return target;
    },
    set target(opened: RtmpTarget) {
      target = opened;
    },
    get relays() {
      return relays;
    },
    get relayProcess() {
      return relayProcess;
    },
    openRelays,
    /** In the place of those that are there. */
    async reopen(changed: Parameters<typeof openRelays>[0] = {}): Promise<void> {
      await relays.stop();
      relays = await openRelays(changed);
    },
    addNode,
    addRoom,
    openSession,
    endSession,
    ask,
    create,
    read,
    relayIs,
    events,
    types: async (id: string): Promise<string[]> => (await events(id)).map((event) => event.type),
  };
}
