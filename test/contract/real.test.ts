/** Holds a real FreeSWITCH to the same contract, where there is one: it is what the simulator is held to. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openPhone } from '../../scripts/sip-phone/phone';
import { launchRealNode } from '../../scripts/nodes/launch-node';
import { describeWithRealNode, freeswitchBinary } from '../real-node';
import { callContract } from './calls.contract';
import { describeNode, waitForPort } from './describe-node';
import type { ContractPhone, MediaNode, StartMediaNode } from './harness';
import { loginContract } from './logins.contract';
import { roomContract } from './rooms.contract';
import { roomMediaContract } from './room-media.contract';

import { socketContract } from './socket.contract';

const binary = freeswitchBinary();

/** A cold node takes its time for the first login. */
const LOGIN_TIMEOUT_MS = 30_000;

async function openContractPhone(o: Parameters<MediaNode['openPhone']>[0], nodePort: number): Promise<ContractPhone> {
  const phone = await openPhone({ ...o, nodePort, timeoutMs: LOGIN_TIMEOUT_MS, resendMs: LOGIN_TIMEOUT_MS });
  return { ...phone, register: (expiresSeconds) => phone.register({ expiresSeconds }) };
}

const start: StartMediaNode = async ({ name, xmlUrl, password, ports }) => {
  const dir = await mkdtemp(join(tmpdir(), 'contract-node-'));
  const env = {
    SWITCHYARD_HEARTBEAT_SECONDS: '1',
    SWITCHYARD_RTP_FROM: String(ports.rtpFrom),
    SWITCHYARD_RTP_TO: String(ports.rtpTo),
  };
  const node = await launchRealNode({ binary: binary!, dir, name, xmlUrl, password, env });
  const stop = async (): Promise<void> => {
    await node.stop();
    await rm(dir, { recursive: true, force: true });
  };
  try {
    await waitForPort(ports.esl, 40_000);
  } catch (error) {
    const lines = node.lastLines();
    await stop();
    throw new Error(`The node did not come up: ${(error as Error).message}\n${lines}`);
  }
  return {
    kind: 'real',
    eslPort: ports.esl,
    folder: join(node.dir, 'recordings'),
    openPhone: (o) => openContractPhone(o, ports.sip),
    stop,
  };
};

describeWithRealNode('the wire contract', () =>
  describeNode('a real node', start, [socketContract, loginContract, callContract, roomContract, roomMediaContract]),
);
