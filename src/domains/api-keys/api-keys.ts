/** API keys: shown once, kept as a hash, and dead at once when revoked. */
import { z } from 'zod';
import { SwitchyardError } from '../../errors';
import type { Db } from '../../infra/stores/db';
import { createId } from '../../infra/ids';
import type { Caller } from '../../infra/route';
import { createSecret, hashSecret } from '../../infra/secrets';
import { requireDomain } from '../domains/domains';
import type { EventLog } from '../events/events';
import { POOL_STREAM } from '../events/events.store';
import * as store from './api-keys.store';

export const apiKeySchema = z
  .object({
    id: z.uuid(),
    name: z.string(),
    hint: z.string().describe('The first and last characters of the key.'),
    scopes: z.array(z.enum(['admin', 'domain'])),
    domain: z.string().nullable(),
    createdAt: z.iso.datetime(),
    expiresAt: z.iso.datetime().nullable(),
    revokedAt: z.iso.datetime().nullable(),
    lastUsedAt: z.iso.datetime().nullable().describe('To the minute.'),
  })
  .meta({ id: 'ApiKey' });
export type ApiKeyView = z.output<typeof apiKeySchema>;

export interface ApiKeysDeps {
  db: Db;
  events: EventLog;
  /** Tells every replica that keys are dead (createKeyRing().revoked), or must be read again. */
  onKeysRevoked: (apiKeyIds: readonly string[]) => void | Promise<void>;
}

export function presentApiKey(row: store.NamedApiKey): ApiKeyView {
  return {
    id: row.id,
    name: row.name,
    hint: row.hint,
    scopes: row.scopes,
    domain: row.domain_name,
    createdAt: row.created_at.toISOString(),
    expiresAt: row.expires_at?.toISOString() ?? null,
    revokedAt: row.revoked_at?.toISOString() ?? null,
    lastUsedAt: row.last_used_at?.toISOString() ?? null,
  };
}

/** How a key begins and ends. */
export function hintOf(key: string): string {
  return `${key.slice(0, 6)}…${key.slice(-4)}`;
}

export async function createApiKey(
  deps: ApiKeysDeps,
  caller: Caller,
  input: { name: string; scope: 'admin' | 'domain'; domain?: string; expiresAt: Date | null },
): Promise<ApiKeyView & { key: string }> {
  if (input.scope === 'admin' && input.domain !== undefined) {
    throw new SwitchyardError('invalid_request', 'An admin key sees every domain: omit "domain".', {
      errors: [{ path: 'domain', message: 'can\'t be combined with the scope "admin"' }],
    });
  }
  const key = `sk_${createSecret()}`;
  return deps.events.record(async (trx, emit) => {
    const domain = input.scope === 'domain' ? await requireDomain(trx, caller, input.domain) : undefined;
    const row = await store.insertApiKey(trx, {
      id: createId(),
      name: input.name,
      key_hash: hashSecret(key),
      hint: hintOf(key),
      scopes: [input.scope],
      domain_id: domain?.id ?? null,
      expires_at: input.expiresAt,
    });
    const view = presentApiKey({ ...row, domain_name: domain?.name ?? null });
    emit({ stream: POOL_STREAM, type: 'api_key.created', data: { apiKey: view } });
    return { ...view, key };
  });
}

export async function changeApiKey(
  deps: ApiKeysDeps,
  id: string,
  changes: { name?: string; expiresAt?: Date | null },
): Promise<ApiKeyView> {
  const set = {
    ...(changes.name !== undefined && { name: changes.name }),
    ...(changes.expiresAt !== undefined && { expires_at: changes.expiresAt }),
  };
  const view = await deps.events.record(async (trx, emit) => {
    if (changes.expiresAt) await keepOneAdmin(trx, id);
    if (Object.keys(set).length > 0 && !(await store.updateApiKey(trx, id, set))) throw noSuchKey();
    const row = await store.findApiKey(trx, id);
    if (!row) throw noSuchKey();
    const shown = presentApiKey(row);
    if (Object.keys(set).length > 0) emit({ stream: POOL_STREAM, type: 'api_key.updated', data: { apiKey: shown } });
    return shown;
  });
  if (changes.expiresAt !== undefined) await deps.onKeysRevoked([id]);
  return view;
}

/** @throws SwitchyardError conflict for the last admin key: nobody could make another */
export async function revokeApiKey(deps: ApiKeysDeps, id: string, now: Date): Promise<void> {
  await deps.events.record(async (trx, emit) => {
    await keepOneAdmin(trx, id);
    if (!(await store.updateApiKey(trx, id, { revoked_at: now }))) throw noSuchKey();
    const row = await store.findApiKey(trx, id);
    if (row) emit({ stream: POOL_STREAM, type: 'api_key.revoked', data: { apiKey: presentApiKey(row) } });
  });
  await deps.onKeysRevoked([id]);
}

async function keepOneAdmin(trx: Parameters<typeof store.countOtherAdminKeys>[0], id: string): Promise<void> {
  const row = await store.findApiKey(trx, id);
  if (!row) throw noSuchKey();
  if (row.scopes.includes('admin') && (await store.countOtherAdminKeys(trx, id)) === 0) {
    throw new SwitchyardError('conflict', 'This is the last admin key: create another one before you revoke it.');
  }
}

function noSuchKey(): SwitchyardError {
  return new SwitchyardError('not_found', 'No such API key, or it is already revoked.');
}
