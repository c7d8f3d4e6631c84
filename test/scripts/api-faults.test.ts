/** What `scripts/pool` says where something else than Switchyard answers, or nobody does: run as an operator runs it. */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { explainFetchFault, explainForeignAnswer } from '../../scripts/api/faults';
import { findFreePort } from '../../scripts/stores/ports';
import { projectRoot } from '../../scripts/project';

const dir = mkdtempSync(join(tmpdir(), 'switchyard-faults-'));
const servers: Server[] = [];
afterAll(() => {
  for (const server of servers) server.close();
  rmSync(dir, { recursive: true, force: true });
});

async function serve(server: Server): Promise<number> {
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return (server.address() as AddressInfo).port;
}

function status(url: string): Promise<{ code: number | null; err: string }> {
  return new Promise((done) => {
    const child = spawn(process.execPath, ['--import', 'tsx', 'scripts/operate/main.ts', 'status'], {
      cwd: projectRoot(),
      env: { PATH: process.env.PATH, SWITCHYARD_URL: url, SWITCHYARD_API_KEY: 'sk_none', STATE_DIR: dir },
    });
    let err = '';
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
    child.once('close', (code) => done({ code, err }));
  });
}

const proxyPage: RequestListener = (_request, response) => {
  response.writeHead(502, { 'content-type': 'text/html', server: 'nginx/1.22.1' });
  response.end('<html>\r\n<head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>');
};

test("a proxy's 502 page is told as what it is", async () => {
  const port = await serve(createServer(proxyPage));
  expect(await status(`http://127.0.0.1:${port}`)).toEqual({
    code: 1,
    err: `nginx/1.22.1 at http://127.0.0.1:${port} can not reach Switchyard: it answers 502 itself, which says "502 Bad Gateway". Is a replica running behind it?\n`,
  });
}, 60_000);

test('a certificate of an authority that is not known here is told, with the setting that names it', async () => {
  const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'];
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '1',
      '-keyout',
      key,
      '-out',
      cert,
      ...subject,
    ],
    { stdio: 'ignore' },
  );
  const port = await serve(createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, proxyPage));
  const { code, err } = await status(`https://127.0.0.1:${port}`);
  expect(code).toBe(1);
  expect(err).toMatch(
    /^The certificate of https:\/\/127\.0\.0\.1:\d+ is not believed \(\w+\): .* NODE_EXTRA_CA_CERTS\.\n$/,
  );
}, 60_000);

test('nobody there, and TLS where none is spoken, are told apart', async () => {
  const nobody = `http://127.0.0.1:${await findFreePort()}`;
  expect((await status(nobody)).err).toBe(
    `Switchyard does not answer at ${nobody}: nothing listens there: is Switchyard running?\n`,
  );
  const plain = await serve(createServer(proxyPage));
  expect((await status(`https://127.0.0.1:${plain}`)).err).toContain('it does not speak TLS: should it be http://?');
}, 120_000);

test.each<[string, unknown, RegExp]>([
  ['a name that nobody knows', { cause: { code: 'ENOTFOUND' } }, /that name is not known/],
  ['two addresses that refuse', { cause: { errors: [{ code: 'ECONNREFUSED' }] } }, /nothing listens there/],
  [
    'an old certificate',
    { cause: { code: 'CERT_HAS_EXPIRED' } },
    /not believed \(CERT_HAS_EXPIRED\): it has expired\.$/,
  ],
  ['one for another name', { cause: { code: 'ERR_TLS_CERT_ALTNAME_INVALID' } }, /it is for another name\.$/],
  ['silence', { name: 'TimeoutError' }, /took too long/],
  ['what nobody thought of', { message: 'fetch failed', cause: { code: 'EWHATEVER' } }, /EWHATEVER/],
])('%s has words', (_what, fault, words) => {
  expect(explainFetchFault('https://yard.example.org/v1/pool', fault)).toMatch(words);
});

test("a page that is no API of ours is told apart from a proxy's complaint", () => {
  const page = {
    url: 'https://www.example.org/v1/pool',
    status: 200,
    type: 'text/html',
    server: null,
    text: '<h1>Welcome</h1>',
  };
  expect(explainForeignAnswer(page)).toBe(
    'What answers at https://www.example.org is not Switchyard\'s API: 200, text/html, which says "Welcome". Is the URL right?',
  );
});
