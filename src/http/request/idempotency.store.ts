/** Keeps what a POST was answered for a day, so that a client that did not hear the answer can ask again safely. */
import { createHmac } from 'node:crypto';
import type { Db } from '../../infra/stores/db';
import { decryptSecret, encryptSecret, purposeKeys, splitSecrets, type Sealed } from '../../infra/secrets';
import { storeClock } from '../../infra/store-clock';

const IDEMPOTENCY_HOURS = 24;
const KEPT_MS = IDEMPOTENCY_HOURS * 3600_000;

export interface KeptAnswer {
  status: number;
  body: unknown;
  headers: Record<string, string>;
}

export type Claimed =
  | { kind: 'mine' }
  | { kind: 'replay'; answer: KeptAnswer }
  | { kind: 'mismatch' }
  /** Another request with this key is at work, or was when its process died: its outcome is not known. */
  | { kind: 'in_progress'; sinceMs: number };

export interface IdempotencyStore {
  claim(apiKeyId: string, key: string, request: string): Promise<Claimed>;
  keep(apiKeyId: string, key: string, answer: KeptAnswer): Promise<void>;
  /** After a failure that changed nothing: the key may be used again. */
  release(apiKeyId: string, key: string): Promise<void>;
  /** Removes what is older than a day. @returns how many */
  sweep(): Promise<number>;
}

interface Row {
  request_hash: string;
  status: number | null;
  answer: { sealed: string } | null;
  created_at: Date;
}

const whatOf = (apiKeyId: string, key: string): Sealed => ({ purpose: 'kept-answer', of: `${apiKeyId}/${key}` });

const digest = (key: Buffer, request: string): string => createHmac('sha256', key).update(request).digest('hex');

/** By the secret of now, whose name it begins with. */
function digestRequest(secretKey: Buffer, request: string): string {
  const [{ id, key }] = purposeKeys(secretKey, 'repeated-request');
  return `${id}.${digest(key, request)}`;
}

/** By whatever secret that is read; version 0.2 used the secret itself. */
function isDigestOf(secretKey: Buffer, request: string, kept: string): boolean {
  const keys = purposeKeys(secretKey, 'repeated-request');
  return (
    keys.some(({ id, key }) => kept === `${id}.${digest(key, request)}`) ||
    splitSecrets(secretKey).some((secret) => kept === digest(secret, request))
  );
}

/** Answers may hold a secret that is shown once (a new API key), so they are sealed; requests are kept as a digest. */
export function createIdempotencyStore(o: { db: Db; secretKey: Buffer; now?: () => number }): IdempotencyStore {
  const { db, secretKey, now = storeClock.nowMs } = o;
  const unreleased = new Map<string, { api_key_id: string; key: string }>();

  async function releaseLeftovers(): Promise<void> {
    for (const [id, row] of unreleased) {
      await db('idempotency_keys').where(row).whereNull('status').delete();
      unreleased.delete(id);
    }
  }

  return {
    async claim(apiKeyId, key, request) {
      if (unreleased.size > 0) await releaseLeftovers();
      const at = new Date(now());
      const mine = { api_key_id: apiKeyId, key };
      const result = await db.raw<{ rows: unknown[] }>(
        `insert into idempotency_keys (api_key_id, key, request_hash, created_at) values (?, ?, ?, ?)
         on conflict (api_key_id, key) do update
           set request_hash = excluded.request_hash, created_at = excluded.created_at, status = null, answer = null
           where idempotency_keys.created_at < ? returning key`,
        [apiKeyId, key, digestRequest(secretKey, request), at, new Date(at.getTime() - KEPT_MS)],
      );
      if (result.rows.length > 0) return { kind: 'mine' };
      const row = (await db('idempotency_keys').where(mine).first()) as Row | undefined;
      if (!row) return { kind: 'in_progress', sinceMs: 0 }; // released between the two statements
      if (!isDigestOf(secretKey, request, row.request_hash)) return { kind: 'mismatch' };
      if (row.status === null || !row.answer) {
        return { kind: 'in_progress', sinceMs: at.getTime() - row.created_at.getTime() };
      }
      const answer = decryptSecret(secretKey, whatOf(apiKeyId, key), row.answer.sealed);
      return { kind: 'replay', answer: JSON.parse(answer) as KeptAnswer };
    },
    async keep(apiKeyId, key, answer) {
      const sealed = encryptSecret(secretKey, whatOf(apiKeyId, key), JSON.stringify(answer));
      await db('idempotency_keys')
        .where({ api_key_id: apiKeyId, key })
        .update({ status: answer.status, answer: JSON.stringify({ sealed }) });
    },
    async release(apiKeyId, key) {
      const row = { api_key_id: apiKeyId, key };
      try {
        await db('idempotency_keys').where(row).whereNull('status').delete();
      } catch {
        unreleased.set(`${apiKeyId} ${key}`, row); // the database is away: done before the next claim
      }
    },
    async sweep() {
      return db('idempotency_keys')
        .where('created_at', '<', new Date(now() - KEPT_MS))
        .delete();
    },
  };
}
