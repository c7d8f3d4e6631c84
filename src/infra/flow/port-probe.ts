/** Asks once more whether nobody listens, before something is taken for dead that may have been started again in the meantime. */
import { connect } from 'node:net';

/** @returns true only where the machine answers that nothing listens on that port; false where that can't be said in time */
export function isPortRefused(host: string, port: number, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const deadline = setTimeout(() => end(false), timeoutMs);
    const end = (refused: boolean): void => {
      clearTimeout(deadline);
      socket.destroy();
      resolve(refused);
    };
    socket.on('connect', () => end(false));
    socket.on('error', (error: NodeJS.ErrnoException) => end(error.code === 'ECONNREFUSED'));
  });
}
