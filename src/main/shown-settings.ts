/** The settings that are in force, in one line at the start: what an operator looks at first, and nothing that is a secret. */
import type { Config } from '../config';
import { addressOf } from '../infra/stores/store-faults';

const SET = '[set]';
const shown = (secret: string | undefined): string | undefined => (secret === undefined ? undefined : SET);

/** What was not set, and has no default, is left out. */
export function showSettings(config: Config): Record<string, unknown> {
  const { secretKey, recordingsS3, ...rest } = config;
  return {
    ...rest,
    databaseUrl: addressOf(config.databaseUrl),
    redisUrl: addressOf(config.redisUrl),
    secrets: secretKey.length / 32,
    nodeJoinToken: shown(config.nodeJoinToken),
    bootstrapApiKey: shown(config.bootstrapApiKey),
    turnSecret: shown(config.turnSecret),
    recordingsS3: recordingsS3 && { endpoint: recordingsS3.endpoint, bucket: recordingsS3.bucket },
  };
}
