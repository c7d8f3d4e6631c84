/** Brings up one node with its answerer for a set of contract tests, and takes both down again. */
import { connect } from 'node:net';
import { findFreePort } from '../../scripts/stores/ports';
import { openAnswerer, ESL_PASSWORD, type Answerer } from './peers/answerer';
import type { MediaNode, NodePorts, StartMediaNode } from './harness';
import { connectRaw, type RawClient } from './peers/raw-client';

export interface NodeUnderTest {
  node: MediaNode;
  answerer: Answerer;
  /** Authenticated, subscribed to everything Switchyard hears. */
  client: RawClient;
}

export type Contract = (nodeUnderTest: () => NodeUnderTest) => void;

const NAME = 'contract-node';
const NODE_PASSWORD = 'join-token.node-secret';
const SUBSCRIBE =
  'event json HEARTBEAT BACKGROUND_JOB CHANNEL_CREATE CHANNEL_PROGRESS CHANNEL_PROGRESS_MEDIA CHANNEL_ANSWER CHANNEL_BRIDGE ' +
  'CHANNEL_UNBRIDGE CHANNEL_HANGUP CHANNEL_HANGUP_COMPLETE CHANNEL_DESTROY RECORD_START RECORD_STOP ' +
  'CUSTOM sofia::register sofia::unregister sofia::expire conference::maintenance';

export function describeNode(title: string, start: StartMediaNode, contracts: Contract[]): void {
  describe(title, () => {
    let nodeUnderTest: NodeUnderTest | undefined;
    beforeAll(async () => {
      const ports = await freePorts();
      const answerer = await openAnswerer(NAME, NODE_PASSWORD, ports);
      const node = await start({ name: NAME, xmlUrl: answerer.xmlUrl, password: NODE_PASSWORD, ports });
      const client = await connectRaw(node.eslPort);
      await client.send(`auth ${ESL_PASSWORD}`);
      await client.send(SUBSCRIBE);
      nodeUnderTest = { node, answerer, client };
    });
    afterAll(async () => {
      nodeUnderTest?.client.close();
      await nodeUnderTest?.node.stop();
      await nodeUnderTest?.answerer.close();
    });
    for (const contract of contracts)
      contract(() => {
        if (!nodeUnderTest) throw new Error('the node is not up');
        return nodeUnderTest;
      });
  });
}

async function freePorts(): Promise<NodePorts> {
  const [esl, sip, internode] = [await findFreePort(), await findFreePort(), await findFreePort()];
  return { esl, sip, internode, ws: await findFreePort(), rtpFrom: 27_000, rtpTo: 27_200 };
}

export async function waitForPort(port: number, timeoutMs: number): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const open = await new Promise<boolean>((done) => {
      const socket = connect(port, '127.0.0.1');
      socket.once('connect', () => {
        socket.destroy();
        done(true);
      });
      socket.once('error', () => done(false));
    });
    if (open) return;
    if (Date.now() > deadline) throw new Error(`port ${port} did not open within ${timeoutMs} ms`);
    await new Promise((done) => setTimeout(done, 100));
  }
}
