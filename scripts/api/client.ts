/** Speaks to Switchyard as any customer would: over its public API, and nothing else. */
import { setTimeout as sleep } from 'node:timers/promises';
import { explainFetchFault, explainForeignAnswer } from './faults';
import { StartFault } from '../project';

const REQUEST_TIMEOUT_MS = 10_000;

export class ApiFault extends Error {
  override name = 'ApiFault';
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** One event of the numbered log, as it stands in the stream. */
export interface StreamedEvent {
  id: string;
  type: string;
  data: Record<string, unknown>;
}

export interface ApiClient {
  get<T>(path: string): Promise<T>;
  post<T>(path: string, body?: object): Promise<T>;
  put<T>(path: string, body: object): Promise<T>;
  patch<T>(path: string, body: object): Promise<T>;
  delete<T>(path: string): Promise<T>;
  /** Reads Server-Sent Events until the signal says stop. */
  follow(path: string, onEvent: (event: StreamedEvent) => void, signal: AbortSignal): Promise<void>;
}

/** @throws ApiFault in words where nobody answers; its status is 0 */
async function fetchText(url: string, asked: RequestInit): Promise<{ answer: Response; text: string }> {
  try {
    const answer = await fetch(url, asked);
    return { answer, text: await answer.text() };
  } catch (fault) {
    throw new ApiFault(0, 'unreachable', explainFetchFault(url, fault));
  }
}

/** @returns undefined where it is no JSON object */
function parseJson(text: string): Record<string, unknown> | undefined {
  try {
    const read: unknown = JSON.parse(text);
    return typeof read === 'object' && read !== null ? (read as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

export function createApiClient(url: string, apiKey: string): ApiClient {
  const headers = { authorization: `Bearer ${apiKey}` };
  const ask = async <T>(method: string, path: string, body?: object): Promise<T> => {
    const { answer, text } = await fetchText(`${url}${path}`, {
      method,
      headers: body ? { ...headers, 'content-type': 'application/json' } : headers,
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
    const read = text ? parseJson(text) : {};
    if (!read) {
      const { status, headers: said } = answer;
      const foreign = { url, status, type: said.get('content-type'), server: said.get('server'), text };
      throw new ApiFault(status, '', explainForeignAnswer(foreign));
    }
    if (!answer.ok) {
      const detail = String(read.detail ?? read.title ?? answer.statusText);
      throw new ApiFault(answer.status, String(read.code ?? ''), `${method} ${path}: ${answer.status} ${detail}`);
    }
    return read as T;
  };
  return {
    get: (path) => ask('GET', path),
    post: (path, body) => ask('POST', path, body ?? {}),
    put: (path, body) => ask('PUT', path, body),
    patch: (path, body) => ask('PATCH', path, body),
    delete: (path) => ask('DELETE', path),
    follow: async (path, onEvent, signal) => {
      const answer = await fetch(`${url}${path}`, { headers: { ...headers, accept: 'text/event-stream' }, signal });
      if (!answer.ok || !answer.body) throw new ApiFault(answer.status, '', `GET ${path}: ${answer.status}`);
      let rest = '';
      const decoder = new TextDecoder();
      try {
        for await (const chunk of answer.body) {
          const blocks = (rest + decoder.decode(chunk as Uint8Array, { stream: true })).split('\n\n');
          rest = blocks.pop() ?? '';
          blocks.map(parseEvent).forEach((event) => event && onEvent(event));
        }
      } catch (fault) {
        if (!signal.aborted) throw fault;
      }
    },
  };
}

/** @returns undefined for comments, which only keep the connection open. */
export function parseEvent(block: string): StreamedEvent | undefined {
  const fields = new Map<string, string>();
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':');
    if (colon <= 0) continue;
    const name = line.slice(0, colon);
    const value = line.slice(colon + 1).replace(/^ /, '');
    fields.set(name, fields.has(name) ? `${fields.get(name)}\n${value}` : value);
  }
  const data = fields.get('data');
  if (data === undefined) return undefined;
  return {
    id: fields.get('id') ?? '',
    type: fields.get('event') ?? 'message',
    data: JSON.parse(data) as Record<string, unknown>,
  };
}

/** Asks again until `test` is content. @throws Error with `what` when the time is over. */
export async function waitFor<T>(
  what: string,
  ask: () => Promise<T>,
  test: (value: T) => boolean,
  timeoutMs: number,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    let last = '';
    try {
      const value = await ask();
      if (test(value)) return value;
    } catch (fault) {
      if (fault instanceof StartFault) throw fault; // it can't get better by waiting
      last = ` (${(fault as Error).message})`;
    }
    if (Date.now() > deadline) throw new Error(`Waited ${timeoutMs / 1000} s for ${what}${last}.`);
    await sleep(100);
  }
}
