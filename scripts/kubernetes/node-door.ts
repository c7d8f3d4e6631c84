/** Asks Switchyard as the node itself would: with its name and its own secret, at the door that is for itself only. */
import { readFileSync } from 'node:fs';
import type { OwnState } from '../../src/domains/nodes/drain/own-drain';

const REQUEST_TIMEOUT_MS = 10_000;

export class DoorFault extends Error {
  override name = 'DoorFault';
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

export interface NodeDoor {
  read(): Promise<OwnState>;
  drain(deadlineSeconds: number): Promise<OwnState>;
  resume(): Promise<OwnState>;
}

/** @param secretFile read at each question: FreeSWITCH's container makes it when it first starts */
export function createNodeDoor(url: string, name: string, secretFile: string): NodeDoor {
  const ask = async (method: string, path: string, body?: object): Promise<OwnState> => {
    const secret = readFileSync(secretFile, 'utf8').trim();
    const answer = await fetch(`${url}/freeswitch/${path}`, {
      method,
      headers: { authorization: `Basic ${Buffer.from(`${name}:${secret}`).toString('base64')}` },
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
    const text = await answer.text();
    if (answer.ok) return JSON.parse(text) as OwnState;
    throw new DoorFault(answer.status, `${method} /freeswitch/${path}: ${answer.status} ${text.trim().slice(0, 200)}`);
  };
  return {
    read: () => ask('GET', 'state'),
    drain: (deadlineSeconds) => ask('POST', 'drain', { deadlineSeconds }),
    resume: () => ask('POST', 'resume'),
  };
}
