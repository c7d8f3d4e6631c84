/** A proxy between a node and Switchyard that breaks at the moment a test says: as one does in a rolling restart. */
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What becomes of a question: a page of the proxy's own, no answer at all, half of one, or a closed connection. */
export const BREAKAGES = ['502', 'silent', 'cut', 'closed'] as const;
export type Breakage = (typeof BREAKAGES)[number];

export interface BrokenDoor {
  url: string;
  /** Breaks every question of that configuration from now on; undefined: none. */
  breakFor(key: string, how: Breakage | undefined): void;
  /** How often one of that configuration came, well answered or not. */
  countOf(key: string): number;
  close(): Promise<void>;
}

export async function openBrokenDoor(target: string): Promise<BrokenDoor> {
  const broken = new Map<string, Breakage>();
  const counts = new Map<string, number>();

  function pass(asked: IncomingMessage, answer: ServerResponse, body: Buffer, isCut: boolean): void {
    const onward = request(target + asked.url, { method: asked.method, headers: asked.headers }, (said) => {
      const chunks: Buffer[] = [];
      said.on('data', (chunk: Buffer) => chunks.push(chunk));
      said.on('end', () => {
        const whole = Buffer.concat(chunks);
        answer.writeHead(said.statusCode ?? 502, said.headers);
        if (!isCut) return answer.end(whole);
        answer.write(whole.subarray(0, whole.length / 2));
        return setTimeout(() => answer.destroy(), 50);
      });
      said.on('error', () => answer.destroy());
    });
    onward.on('error', () => answer.destroy());
    onward.end(body);
  }

  const server = createServer((asked, answer) => {
    const chunks: Buffer[] = [];
    asked.on('data', (chunk: Buffer) => chunks.push(chunk));
    asked.on('error', () => answer.destroy());
    asked.on('end', () => {
      const body = Buffer.concat(chunks);
      const key = new URLSearchParams(body.toString()).get('key_value') ?? '';
      counts.set(key, (counts.get(key) ?? 0) + 1);
      const how = broken.get(key);
      if (how === '502') return void answer.writeHead(502, { 'content-type': 'text/html' }).end('<html>Bad Gateway');
      if (how === 'closed') return void answer.destroy();
      if (how === 'silent') return;
      pass(asked, answer, body, how === 'cut');
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    breakFor: (key, how) => void (how ? broken.set(key, how) : broken.delete(key)),
    countOf: (key) => counts.get(key) ?? 0,
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}
