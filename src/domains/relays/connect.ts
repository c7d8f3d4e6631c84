/** Opens the way to a relay's target: resolved and checked once, connected to that very address, TLS with its name. */
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { nameFault, RtmpPeer } from './rtmp/peer';
import { findAddress, TargetRefused, type AddressRules, type Resolve, type Target } from './target';

export interface ConnectDeps {
  rules: AddressRules;
  resolve: Resolve;
  /** For each step: the name, the connection, the handshake. */
  stepTimeoutMs: number;
}

/** @throws TargetRefused */
export async function openTarget(deps: ConnectDeps, target: Target): Promise<Socket> {
  const address = await findAddress(deps.rules, target.host, deps.resolve, deps.stepTimeoutMs);
  return new Promise((resolve, reject) => {
    const { port, host } = target;
    const socket: Socket = target.secure
      ? connectTls({ host: address, port, ...(isIP(host) ? {} : { servername: host }), ALPNProtocols: [] })
      : connectTcp({ host: address, port });
    const fail = (reason: string): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(new TargetRefused(reason));
    };
    const timer = setTimeout(() => fail('it did not accept a connection in time'), deps.stepTimeoutMs);
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

/** Connects and shakes hands, and goes away again: nothing is published. @throws TargetRefused */
export async function checkTarget(deps: ConnectDeps, target: Target): Promise<void> {
  const socket = await openTarget(deps, target);
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(
      () => fail('it accepts connections, but did not answer the RTMP handshake in time'),
      deps.stepTimeoutMs,
    );
    const fail = (reason: string): void => {
      clearTimeout(timer);
      reject(new TargetRefused(reason));
      socket.destroy();
    };
    const peer = new RtmpPeer(socket, 'client', {
      onOpen() {
        clearTimeout(timer);
        resolve();
        peer.end(500);
      },
      onCommand: () => undefined,
      onMedia: () => undefined,
      onClosed: (reason) => fail(`it ended the RTMP handshake: ${reason}`),
    });
  });
}
