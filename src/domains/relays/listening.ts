/** The relay process listens only when the first relay is sent: a port or address that can't be had is said at the start. */
import { createServer } from 'node:net';

/** Listens for a moment. @throws Error which names the setting to change */
export async function requireListening({ host, port }: { host: string; port: number }): Promise<void> {
  const server = createServer((socket) => socket.destroy());
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, resolve);
    });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const why =
      code === 'EADDRNOTAVAIL'
        ? 'it is no address of this machine: set RELAY_LISTEN_HOST to one that is'
        : code === 'EADDRINUSE'
          ? 'it is taken: set RELAY_PORT to another one'
          : `it can not be had (${code ?? 'unknown'})`;
    throw new Error(`The relay listener can't listen at ${host}, port ${port}: ${why}.`, { cause });
  }
  await new Promise((resolve) => server.close(resolve));
}
