/** REST as a patient client uses it: any replica that answers, a deadline, and a note of answers that are no answers. */
import { ADMIN_KEY, type Replica } from './cluster';
import type { Random } from './random';

export interface ApiAnswer {
  status: number;
  body: any; // eslint-disable-line @typescript-eslint/no-explicit-any
}

export interface Api {
  /** @returns status 0 where nobody answered in time. @param key makes it safe to ask again: it is done once */
  ask(method: string, path: string, body?: unknown, timeoutMs?: number, key?: string): Promise<ApiAnswer>;
  /** How many answers there were by status. */
  readonly statuses: ReadonlyMap<number, number>;
  /** Answers that say that Switchyard itself is at fault. */
  readonly faults: readonly string[];
}

const TIMEOUT_MS = 4000;

export function createApi(replicas: readonly Replica[], random: Random): Api {
  const statuses = new Map<number, number>();
  const faults: string[] = [];
  return {
    statuses,
    faults,
    async ask(method, path, body, timeoutMs = TIMEOUT_MS, key = undefined) {
      const up = replicas.filter((r) => r.url && r.isRunning);
      if (up.length === 0) return { status: 0, body: undefined };
      const { url } = random.pick(up);
      const answer = await fetch(`${url}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${ADMIN_KEY}`,
          ...(body ? { 'content-type': 'application/json' } : {}),
          ...(key ? { 'idempotency-key': key } : {}),
        },
        body: body ? JSON.stringify(body) : undefined,
        signal: AbortSignal.timeout(timeoutMs),
      })
        .then(async (response) => {
          const text = await response.text();
          return { status: response.status, body: text ? (JSON.parse(text) as unknown) : undefined };
        })
        .catch(() => ({ status: 0, body: undefined }));
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
      if (answer.status === 500) faults.push(`${method} ${path}: ${JSON.stringify(answer.body)}`);
      return answer;
    },
  };
}
