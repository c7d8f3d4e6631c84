/** The key of the environment: there is one at a time, and what it does not do is said at the start. */
import { createId } from '../../infra/ids';
import type { Logger } from '../../infra/logger';
import { hashSecret } from '../../infra/secrets';
import { POOL_STREAM } from '../events/events.store';
import { hintOf, presentApiKey, type ApiKeysDeps } from './api-keys';
import * as store from './api-keys.store';

export interface BootstrapDeps extends ApiKeysDeps {
  logger: Logger;
}

/**
 * Makes BOOTSTRAP_API_KEY an admin key, once. Where it is another one than at the start before, that one is revoked:
 * whoever changes it means that. One that was revoked stays so, and then nothing else is revoked for it.
 */
export async function storeBootstrapKey(deps: BootstrapDeps, key: string, now: Date): Promise<void> {
  const { logger } = deps;
  const outcome = await deps.events.record(async (trx, emit) => {
    await store.lockAdminKeys(trx);
    const mine = await store.insertApiKeyOnce(trx, {
      id: createId(),
      name: store.BOOTSTRAP_NAME,
      key_hash: hashSecret(key),
      hint: hintOf(key),
      scopes: ['admin'],
      domain_id: null,
      expires_at: null,
      made_at_start: true,
    });
    const fault = whyVoid(mine, now);
    const others = await store.listBootstrapKeys(trx, mine.id, now);
    if (fault !== undefined) return { mine, fault, revoked: [], doubtful: [] };
    if (mine.name === store.BOOTSTRAP_NAME && !mine.made_at_start) await store.markMadeAtStart(trx, mine.id);
    const revoked = others.filter((row) => row.made_at_start);
    for (const row of revoked) {
      await store.updateApiKey(trx, row.id, { revoked_at: now });
      const apiKey = presentApiKey({ ...row, revoked_at: now, domain_name: null });
      emit({ stream: POOL_STREAM, type: 'api_key.revoked', data: { apiKey } });
    }
    return { mine, fault, revoked, doubtful: others.filter((row) => !row.made_at_start) };
  });
  if (outcome.fault !== undefined) {
    logger.warn({ apiKeyId: outcome.mine.id, hint: outcome.mine.hint }, `BOOTSTRAP_API_KEY ${outcome.fault}`);
  }
  for (const { id, hint } of outcome.revoked) {
    logger.warn({ apiKeyId: id, hint }, 'BOOTSTRAP_API_KEY has changed: the key it was before is revoked');
  }
  for (const { id, hint } of outcome.doubtful) {
    logger.warn(
      { apiKeyId: id, hint },
      'another admin key named "bootstrap" is valid, perhaps a former BOOTSTRAP_API_KEY: DELETE /v1/api-keys/ID revokes it',
    );
  }
  if (outcome.revoked.length > 0) await deps.onKeysRevoked(outcome.revoked.map(({ id }) => id));
}

/** Pure: why the key of the environment lets nobody in as an admin; undefined where it does. */
function whyVoid(row: store.ApiKeyRow, now: Date): string | undefined {
  if (row.revoked_at) return 'is a key that was revoked: it lets nobody in. Set a new one, or leave it out';
  if (row.expires_at && row.expires_at <= now) return 'is a key that has expired: it lets nobody in. Set a new one';
  if (!row.scopes.includes('admin')) return 'is the key of a domain, and no admin key. Set a new one';
  return undefined;
}
