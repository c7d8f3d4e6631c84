/** Keeps recordings in an S3-compatible store, by four signed requests: a whole SDK would bring 40 packages for them. */
import { createReadStream, mkdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { request as requestHttp, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as requestHttps } from 'node:https';
import { pipeline } from 'node:stream/promises';
import { AwsV4Signer } from 'aws4fetch';
import { SwitchyardError } from '../../../errors';
import { storeClock } from '../../../infra/store-clock';
import type { RecordingStorage } from './storage';

export interface S3Settings {
  /** With its scheme; the bucket is the first part of the path. */
  endpoint: string;
  bucket: string;
  region: string;
  accessKeyId: string;
  secretAccessKey: string;
  /** Where files wait until the store has them. */
  arrivals: string;
}

/** A store that says nothing for this long is given up; the node's copy is still there. */
const SILENCE_MS = 30_000;
const EMPTY_SHA256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
const KEY = /^[0-9a-f-]{36}\/[0-9a-f-]{36}\.(mp4|wav)$/;

interface Sent {
  method: 'PUT' | 'GET' | 'DELETE';
  key: string;
  headers?: Record<string, string>;
  sha256?: string;
  file?: string;
}

/** The store checks each file against its signed SHA-256 itself. One request takes a file of up to 5 GB. */
export function createS3Storage(settings: S3Settings): RecordingStorage {
  mkdirSync(settings.arrivals, { recursive: true, mode: 0o700 });
  return {
    kind: 's3',
    arrivals: settings.arrivals,
    async keep(key, file, facts) {
      const headers = { 'content-length': String(facts.bytes), 'content-type': facts.type };
      await finish(await send(settings, { method: 'PUT', key, headers, sha256: facts.sha256, file }), [200]);
      await rm(file, { force: true });
    },
    async open(key, range) {
      const headers = { range: `bytes=${range.from}-${range.to}` };
      const answer = await send(settings, { method: 'GET', key, headers });
      if (answer.statusCode === 206 || answer.statusCode === 200) return answer;
      await finish(answer, []);
      throw new SwitchyardError('not_found');
    },
    async remove(key) {
      await finish(await send(settings, { method: 'DELETE', key }), [200, 204, 404]);
    },
  };
}

/** @throws unavailable, with the store's own code and never with what we signed */
async function finish(answer: IncomingMessage, expected: number[]): Promise<void> {
  let text = '';
  for await (const chunk of answer) if (text.length < 4000) text += String(chunk);
  const status = answer.statusCode ?? 0;
  if (expected.includes(status)) return;
  const code = /<Code>([A-Za-z]{1,64})<\/Code>/.exec(text)?.[1] ?? 'no code';
  if (status === 404) throw new SwitchyardError('not_found', `The storage has no such file (${code}).`);
  throw new SwitchyardError('unavailable', `The storage answered ${status} (${code}).`);
}

async function send(settings: S3Settings, o: Sent): Promise<IncomingMessage> {
  if (!KEY.test(o.key)) throw new SwitchyardError('invalid_request', 'Not a storage key of a recording.');
  const signer = new AwsV4Signer({
    method: o.method,
    url: `${settings.endpoint.replace(/\/+$/, '')}/${settings.bucket}/${o.key}`,
    headers: { ...o.headers, 'x-amz-content-sha256': o.sha256 ?? EMPTY_SHA256 },
    accessKeyId: settings.accessKeyId,
    secretAccessKey: settings.secretAccessKey,
    service: 's3',
    region: settings.region,
    // The store refuses what is 15 minutes off by its own clock.
    datetime: storeClock
      .now()
      .toISOString()
      .replace(/[-:]|\.\d{3}/g, ''),
  });
  const signed = await signer.sign();
  const options: RequestOptions = {
    method: o.method,
    headers: { ...o.headers, ...Object.fromEntries(signed.headers as unknown as Iterable<[string, string]>) },
    timeout: SILENCE_MS,
  };
  const ask = signed.url.protocol === 'https:' ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown): void =>
      reject(new SwitchyardError('unavailable', 'The storage for recordings is unavailable.', { cause }));
    const request = ask(signed.url, options, resolve);
    request.on('timeout', () => request.destroy(new Error(`no data for ${SILENCE_MS} ms`)));
    request.on('error', fail);
    if (o.file === undefined) request.end();
    else pipeline(createReadStream(o.file), request).catch(fail);
  });
}
