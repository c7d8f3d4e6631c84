/** Keeps files in a store that checks each signature by its own arithmetic (AWS Signature Version 4) and each body. */
import { createHash, createHmac, randomUUID } from 'node:crypto';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { createS3Storage } from '../../../src/domains/recordings/storage/s3';
import type { RecordingStorage } from '../../../src/domains/recordings/storage/storage';

const SECRET = 'a secret of the store';
const files = new Map<string, Buffer>();
let server: Server;
let storage: RecordingStorage;
let dir: string;
let endpoint: string;

const sha = (data: string | Buffer): string => createHash('sha256').update(data).digest('hex');
const mac = (key: string | Buffer, data: string): Buffer => createHmac('sha256', key).update(data).digest();

function isSigned(request: IncomingMessage): boolean {
  const match =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d+)\/([^/]+)\/s3\/aws4_request, SignedHeaders=([^,]+), Signature=(\w+)$/.exec(
      request.headers.authorization ?? '',
    );
  if (!match) return false;
  const [, key, day, region, names, signature] = match as unknown as [string, string, string, string, string, string];
  const headers = names.split(';').map((name) => `${name}:${String(request.headers[name]).trim()}\n`);
  const digest = String(request.headers['x-amz-content-sha256']);
  const canonical = [request.method, request.url, '', headers.join(''), names, digest].join('\n');
  const scope = `${day}/${region}/s3/aws4_request`;
  const text = ['AWS4-HMAC-SHA256', String(request.headers['x-amz-date']), scope, sha(canonical)].join('\n');
  const signing = mac(mac(mac(mac(`AWS4${SECRET}`, day), region), 's3'), 'aws4_request');
  return key === 'key' && mac(signing, text).toString('hex') === signature;
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 's3-'));
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      const url = request.url!;
      if (!isSigned(request)) return response.writeHead(403).end('<Error><Code>SignatureDoesNotMatch</Code></Error>');
      if (request.method === 'PUT') {
        if (sha(body) !== request.headers['x-amz-content-sha256'])
          return response.writeHead(400).end('<Code>BadDigest</Code>');
        files.set(url, body);
        return response.writeHead(200).end();
      }
      if (request.method === 'DELETE') return response.writeHead(files.delete(url) ? 204 : 404).end();
      const [from, to] = String(request.headers.range).slice(6).split('-').map(Number);
      const file = files.get(url);
      if (!file) return response.writeHead(404).end('<Code>NoSuchKey</Code>');
      return response.writeHead(206).end(file.subarray(from, to! + 1));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  storage = open(SECRET);
});
afterAll(async () => {
  server.close();
  await rm(dir, { recursive: true, force: true });
});

const open = (secretAccessKey: string): RecordingStorage =>
  createS3Storage({
    endpoint,
    bucket: 'bucket',
    region: 'eu-1',
    accessKeyId: 'key',
    secretAccessKey,
    arrivals: join(dir, 'in'),
  });

async function arrive(
  content: Buffer,
): Promise<{ file: string; facts: { bytes: number; sha256: string; type: string } }> {
  const file = join(storage.arrivals, randomUUID());
  await writeFile(file, content);
  return { file, facts: { bytes: content.length, sha256: sha(content), type: 'audio/wav' } };
}
const read = async (stream: Readable): Promise<string> => {
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  return text;
};
const newKey = (): string => `${randomUUID()}/${randomUUID()}.wav`;

test('keeps a file, gives ranges of it, and removes it', async () => {
  const key = newKey();
  const { file, facts } = await arrive(Buffer.from('0123456789'));
  await storage.keep(key, file, facts);
  expect(await readdir(storage.arrivals)).toEqual([]);
  expect(await read(await storage.open(key, { from: 2, to: 5 }))).toBe('2345');
  await storage.remove(key);
  await storage.remove(key);
  await expect(storage.open(key, { from: 0, to: 1 })).rejects.toMatchObject({ code: 'not_found' });
});

test('says what the store says where it refuses, and keeps the file', async () => {
  const { file, facts } = await arrive(Buffer.from('abc'));
  await expect(open('another secret').keep(newKey(), file, facts)).rejects.toMatchObject({
    code: 'unavailable',
    message: 'The storage answered 403 (SignatureDoesNotMatch).',
  });
  await expect(storage.keep(newKey(), file, { ...facts, sha256: sha('abd') })).rejects.toThrow('BadDigest');
  expect(await readdir(storage.arrivals)).toHaveLength(1);
});

test('does not take a key that is none of ours', async () => {
  await expect(storage.remove('../etc/passwd')).rejects.toMatchObject({ code: 'invalid_request' });
});
