/** Puts API keys together: their REST, and the key of the environment. */
import type { Logger } from '../../infra/logger';
import { storeClock } from '../../infra/store-clock';
import type { Domain } from '../domain';
import type { ApiKeysDeps } from './api-keys';
import { apiKeysRoutes } from './api-keys.routes';
import { storeBootstrapKey } from './bootstrap';

export interface ApiKeysOptions extends ApiKeysDeps {
  logger: Logger;
  /** BOOTSTRAP_API_KEY. */
  bootstrapKey: string | undefined;
}

export async function createApiKeys(o: ApiKeysOptions): Promise<Domain> {
  if (o.bootstrapKey) await storeBootstrapKey(o, o.bootstrapKey, storeClock.now());
  return { routes: apiKeysRoutes(o) };
}
