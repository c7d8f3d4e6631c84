/** Holds the simulator to the wire contract. */
import { createLogger } from '../../src/infra/logger';
import { startSimulatedNode } from '../../scripts/simulator/node';
import { callContract } from './calls.contract';
import { describeNode } from './describe-node';
import type { StartMediaNode } from './harness';
import { loginContract } from './logins.contract';
import { roomContract } from './rooms.contract';
import { roomMediaContract } from './room-media.contract';
import { socketContract } from './socket.contract';

const start: StartMediaNode = async ({ name, xmlUrl, password }) => {
  const node = await startSimulatedNode({
    name,
    xmlUrl,
    password,
    heartbeatMs: 1000,
    questionTimeoutMs: 60_000,
    bootTimeoutMs: 60_000,
    logger: createLogger('silent'),
  });
  return {
    kind: 'simulated',
    eslPort: node.eslPort,
    folder: node.folder,
    openPhone: (o) => {
      let phone: Awaited<ReturnType<typeof node.registerPhone>> | undefined;
      return Promise.resolve({
        async register(expiresSeconds) {
          if (phone) return phone.refresh(expiresSeconds);
          try {
            phone = await node.registerPhone({ ...o, expiresSeconds });
            return 200;
          } catch (error) {
            return Number(/got (\d+)$/.exec((error as Error).message)?.[1]);
          }
        },
        unregister: () => {
          phone?.unregister();
          return Promise.resolve(200);
        },
        close: () => undefined,
      });
    },
    stop: async () => {
      await node.kill();
      node.discard();
    },
  };
};

describeNode('a simulated node', start, [socketContract, loginContract, callContract, roomContract, roomMediaContract]);
