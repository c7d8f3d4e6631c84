/** One real node whose questions about rooms the test answers itself, with the rooms' rows written by the test. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeNodeSecret } from '../../../scripts/nodes/enrol';
import { launchRealNode } from '../../../scripts/nodes/launch-node';
import { findFreePort } from '../../../scripts/stores/ports';
import { enrolNode } from '../../../src/domains/nodes/entering/admission';
import { createRoomConfiguration } from '../../../src/domains/rooms/sessions/conference-profile';
import { createNodeConnections, type NodeConnections } from '../../../src/domains/nodes/connections/node-connections';
import type { NodeRow } from '../../../src/domains/nodes/nodes.store';
import type { Reply } from '../../../src/freeswitch/esl';
import { createFreeswitchEndpoints, type EndpointDeps } from '../../../src/http/nodes/freeswitch.endpoints';
import { createHttpServer } from '../../../src/http/server';
import type { Db } from '../../../src/infra/stores/db';
import { createId } from '../../../src/infra/ids';
import { createLogger } from '../../../src/infra/logger';
import { hashSecret } from '../../../src/infra/secrets';
import { createEventLog } from '../../../src/domains/events/events';
import { until } from '../../e2e/harness';

export const SECRET_KEY = Buffer.alloc(32, 9);

export interface RealRoomNode {
  node: NodeRow;
  /** Of its process. */
  pid: number;
  links: NodeConnections;
  /** Warnings of the entrance. */
  warnings: string[];
  /** The node's own log. */
  readLog(): Promise<string>;
  /** Sends one line. */
  ask(line: string): Promise<Reply>;
  /** A channel without a phone behind it tries to enter. @returns its id */
  enter(sessionId: string): Promise<string>;
  /** A file of the node's own folder. */
  file(name: string): string;
  close(): Promise<void>;
}

/** @param db of a migrated database; closed by its owner, after this */
export async function startRealRoomNode(binary: string, db: Db): Promise<RealRoomNode> {
  const warnings: string[] = [];
  const logger = createLogger('warn', { write: (line: string) => void warnings.push(line) });
  const log = createEventLog(db, { ring: () => undefined }, logger);
  const rules = {
    ...{ allowedNetworks: ['127.0.0.0/8'], wsHosts: [], maxUnits: 1000 },
    ...{ storeHosts: [], storePorts: [], ownHosts: [], ownPort: 0 },
  };
  const admission = { db, log, logger, secretKey: SECRET_KEY, joinToken: undefined, approval: 'never' as const, rules };
  const deps: Partial<EndpointDeps> = {
    ...admission,
    heartbeatSeconds: 1,
    onNodeSeen: () => undefined,
    roomConfiguration: createRoomConfiguration(db),
  };
  const entrance = createFreeswitchEndpoints(deps as EndpointDeps);
  const server = createHttpServer((request, response) => {
    if (!entrance(request, response)) response.writeHead(404).end();
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const dir = await mkdtemp(join(tmpdir(), 'real-room-'));
  const ports = [await findFreePort(), await findFreePort(), await findFreePort(), await findFreePort()];
  const query = `host=127.0.0.1&esl=${ports[0]}&sip=${ports[1]}&internode=${ports[2]}&ws=${ports[3]}&rtp=31000-31400`;
  const secret = makeNodeSecret();
  const token = {
    id: createId(),
    name: 'room-node',
    token_hash: hashSecret('a token for it'),
    expires_at: new Date(Date.now() + 60_000),
  };
  await db('node_tokens').insert(token);
  await enrolNode(admission, { name: 'room-node', secret, token: 'a token for it' });
  const started = await launchRealNode({
    binary,
    dir,
    name: 'room-node',
    xmlUrl: `${base}/freeswitch/xml?${query}`,
    password: secret,
    env: { SWITCHYARD_HEARTBEAT_SECONDS: '1', SWITCHYARD_RTP_FROM: '31000', SWITCHYARD_RTP_TO: '31400' },
  });
  const links = createNodeConnections({ db, logger, secretKey: SECRET_KEY, commandTimeoutMs: 5000 });
  const close = async (): Promise<void> => {
    await links.stop();
    await started.stop();
    await new Promise<void>((done) => {
      server.close(() => done());
      server.closeAllConnections();
    });
    await rm(dir, { recursive: true, force: true });
  };
  try {
    const node = await until('the node to ask', async () => (await db('nodes').first()) as NodeRow | undefined, 40_000);
    await links.reach(node.id, 40_000);
    const ask = (line: string): Promise<Reply> => links.api(node.id, { line });
    return {
      node,
      pid: started.pid,
      links,
      warnings,
      readLog: () => readFile(started.logFile, 'utf8'),
      ask,
      async enter(sessionId) {
        const id = randomUUID();
        const name = `${sessionId}@room`;
        await ask(`originate {origination_uuid=${id}}loopback/app=park &conference(${name})`);
        return id;
      },
      file: (name) => join(started.dir, 'recordings', name),
      close,
    };
  } catch (error) {
    const lines = started.lastLines();
    await close();
    throw new Error(`${(error as Error).message}\n${lines}`, { cause: error });
  }
}
