/** A proxy that ends TLS in front of Switchyard, and certificates of the test's own: what an operator has around a pool. */
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { request as openRequest } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findProgram } from '../../../scripts/stores/redis';

const run = promisify(execFile);
const OPENSSL_MS = 20_000;

export const opensslBinary = (): string | undefined => findProgram('openssl');

export interface Certificates {
  /** The file of whom to believe. */
  caFile: string;
  certificate: string;
  key: string;
}

/** An authority and a certificate of it for 127.0.0.1, valid for a day. @throws what openssl says */
export async function makeCertificates(openssl: string, dir: string): Promise<Certificates> {
  const file = (name: string): string => join(dir, name);
  const make = async (...args: string[]): Promise<void> => void (await run(openssl, args, { timeout: OPENSSL_MS }));
  const newKey = ['req', '-newkey', 'rsa:2048', '-nodes'];
  await make(
    ...newKey,
    '-x509',
    '-days',
    '1',
    '-subj',
    '/CN=An authority',
    '-keyout',
    file('ca.key'),
    '-out',
    file('ca.pem'),
  );
  await make(...newKey, '-subj', '/CN=127.0.0.1', '-keyout', file('one.key'), '-out', file('one.csr'));
  await writeFile(file('one.ext'), 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n');
  const signed = ['-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-CAcreateserial', '-days', '1'];
  await make('x509', '-req', '-in', file('one.csr'), ...signed, '-extfile', file('one.ext'), '-out', file('one.pem'));
  return {
    caFile: file('ca.pem'),
    certificate: await readFile(file('one.pem'), 'utf8'),
    key: await readFile(file('one.key'), 'utf8'),
  };
}

export interface TlsFront {
  url: string;
  /** Method and path, without query, of what came through. */
  asked: string[];
  close(): Promise<void>;
}

/** Passes on what comes by TLS, as nginx does with `proxy_set_header Host $http_host` and `X-Forwarded-Proto $scheme`. */
export async function openTlsFront(certificates: Certificates, target: () => string): Promise<TlsFront> {
  const asked: string[] = [];
  const server: Server = createServer(
    { cert: certificates.certificate, key: certificates.key },
    (incoming, outgoing) => {
      asked.push(`${incoming.method} ${incoming.url!.split('?')[0]}`);
      const headers = {
        ...incoming.headers,
        'x-forwarded-proto': 'https',
        'x-forwarded-for': incoming.socket.remoteAddress,
      };
      const passed = openRequest(`${target()}${incoming.url}`, { method: incoming.method, headers }, (answer) => {
        outgoing.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(outgoing);
      });
      passed.on('error', () => outgoing.destroy());
      outgoing.on('close', () => passed.destroy());
      incoming.pipe(passed);
    },
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
