/** Takes bridges with video apart at the event of their beginning, on a real node, and demands that it lives on. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '../../../scripts/api/client';
import { findNode } from '../../../src/domains/nodes/nodes.store';
import { openNodePassword } from '../../../src/domains/nodes/entering/node-password';
import { openConnection, transferChannel, type NodeConnection } from '../../../src/freeswitch/esl';
import { createLogger } from '../../../src/infra/logger';
import { useStores } from '../../stores';
import { describeWithBrowser, startBrowserApp, type BrowserApp, type BrowserPhone } from '../pages/browser';
import { startRealPool, type RealPool } from '../pool/real-pool';

const DOMAIN = 'bridges.test';
const SECRET = randomBytes(32);
/** Without the wait two of six crashed the node. SWITCHYARD_CRASH=1 sends the bare command, to see that. */
const ROUNDS = process.env.SWITCHYARD_CRASH ? 12 : 4;

describeWithBrowser('bridges with video', (freeswitch, chromium) => {
  let pool: RealPool;
  let app: BrowserApp;
  let connection: NodeConnection;
  afterAll(async () => {
    connection?.close();
    await app?.close();
    await pool?.stop();
  }, 30_000);
  const stores = useStores();

  test('a node survives a transfer that is asked for at the moment of the bridge', async () => {
    const settings = { SWITCHYARD_SECRET: SECRET.toString('base64') };
    [pool, app] = await Promise.all([startRealPool(freeswitch, stores, 1, settings), startBrowserApp(chromium)]);
    await pool.api.post('/v1/domains', { name: DOMAIN, displayName: 'Bridges' });
    const phones: BrowserPhone[] = [];
    for (const username of ['alice', 'bob']) {
      const password = randomBytes(12).toString('base64url');
      await pool.api.post('/v1/users', { domain: DOMAIN, username, password, displayName: username });
      const { wsUrl } = pool.nodes[0]!;
      phones.push(await app.openPhone({ wsUrl, username, domain: DOMAIN, password, video: true, answerAfterMs: 50 }));
    }
    const row = (await stores.db('nodes').first()) as { id: string };
    const node = (await findNode(stores.db, row.id))!;
    connection = await openConnection({
      host: node.host,
      port: node.esl_port,
      password: openNodePassword(SECRET, node)!,
      connectTimeoutMs: 5000,
      logger: createLogger('silent'),
    });
    let bridges = 0;
    const delays: number[] = [];
    connection.onEvent((event) => {
      if (event.type !== 'channel' || event.phase !== 'bridged') return;
      bridges += 1;
      const atMs = performance.now();
      const command = transferChannel(event.legId, { extension: '9196', context: 'calls' });
      const sent = process.env.SWITCHYARD_CRASH ? { line: command.line } : command;
      connection
        .api(sent, { timeoutMs: 5000 })
        .then(() => delays.push(performance.now() - atMs))
        .catch(() => undefined);
    });
    await connection.subscribe(['CHANNEL_BRIDGE'], []);
    for (let round = 1; round <= ROUNDS && connection.isOpen; round += 1) {
      await phones[0]!.call('bob');
      await waitFor(
        `bridge ${round}`,
        () => Promise.resolve(bridges),
        (n) => n >= round || !connection.isOpen,
        20_000,
      );
      await sleep(1500);
      await Promise.all(phones.map((phone) => phone.hangup())).catch(() => undefined);
      await sleep(500);
    }
    process.stdout.write(
      `  ${bridges} bridges, node ${connection.isOpen ? 'lives' : 'crashed'}; waited ${delays.map(Math.round).join()} ms\n`,
    );
    expect(connection.isOpen).toBe(true);
    expect(delays).toHaveLength(ROUNDS);
    // From the event on; a busy node tells of it some time after the bridge.
    for (const ms of delays) expect(ms).toBeGreaterThan(50);
  }, 180_000);
});
