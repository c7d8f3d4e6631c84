/** Opens the way to a relay's target: resolved and checked once, connected to that very address, TLS with its name. */
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { findAddress, type AddressRules, type Resolve } from '../targets/address-rules';
import { TargetRefused, UNREACHABLE } from '../targets/refusal';
import { TARGET } from '../rtmp/limits';
import { nameFault, RtmpConnection } from '../rtmp/connection';
import type { Target } from '../targets/target';

export interface ConnectDeps {
  resolve: Resolve;
  /** Names of ours, which are asked for again and again. */
  resolveOwn: Resolve;
  now: () => number;
}

/** @param leftMs how long the next step may take @throws TargetRefused */
export async function openTarget(
  deps: ConnectDeps,
  rules: AddressRules,
  target: Target,
  leftMs: () => number,
): Promise<Socket> {
  const { port, host } = target;
  const address = await findAddress(rules, target, deps.resolve, leftMs(), deps.resolveOwn);
  return new Promise((resolve, reject) => {
    const socket: Socket = target.secure
      ? connectTls({ host: address, port, ...(isIP(host) ? {} : { servername: host }), ALPNProtocols: [] })
      : connectTcp({ host: address, port });
    const fail = (detail: string): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(new TargetRefused(UNREACHABLE, detail));
    };
    const timer = setTimeout(() => fail('it did not accept a connection in time'), leftMs());
    const onError = (error: NodeJS.ErrnoException): void => fail(nameFault(error));
    socket.on('error', onError);
    socket.once(target.secure ? 'secureConnect' : 'connect', () => {
      clearTimeout(timer);
      socket.on('error', () => undefined); // whoever takes it adds theirs; a fault in between ends in 'close'
      socket.removeListener('error', onError);
      resolve(socket);
    });
  });
}

/**
 * Connects and shakes hands, and goes away again: nothing is published. What does not speak RTMP is told when the whole
 * time is over, whatever it did: how long it took must not tell a closed port from a silent one.
 * @throws TargetRefused
 */
export async function checkTarget(
  deps: ConnectDeps,
  rules: AddressRules,
  target: Target,
  timeoutMs: number,
): Promise<void> {
  const endsAtMs = deps.now() + timeoutMs;
  const leftMs = (): number => Math.max(1, endsAtMs - deps.now());
  try {
    await shakeHands(await openTarget(deps, rules, target, leftMs), leftMs());
  } catch (error) {
    if (error instanceof TargetRefused && error.message === UNREACHABLE) await sleep(leftMs());
    throw error;
  }
}

function shakeHands(socket: Socket, timeoutMs: number): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    const fail = (detail: string): void => {
      clearTimeout(timer);
      reject(new TargetRefused(UNREACHABLE, detail));
      socket.destroy();
    };
    const timer = setTimeout(
      () => fail('it accepts connections, but did not answer the RTMP handshake in time'),
      timeoutMs,
    );
    const handlers = {
      onOpen(): void {
        clearTimeout(timer);
        resolve();
        peer.end(500);
      },
      onCommand: () => undefined,
      onMedia: () => undefined,
      onClosed: (reason: string) => fail(`it ended the RTMP handshake: ${reason}`),
    };
    const peer: RtmpConnection = new RtmpConnection(socket, { side: 'client', limits: TARGET }, handlers);
  });
}
