/** A POST that is sent again with the same Idempotency-Key is done once, and answered the same. */
import { SwitchyardError } from '../../errors';
import type { IdempotencyStore, KeptAnswer } from './idempotency.store';

const UNKNOWN_AFTER_MS = 60_000;

/** @returns the header's value, checked. @throws SwitchyardError invalid_request */
export function readIdempotencyKey(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  if (/^[\x21-\x7e]{1,255}$/.test(header)) return header;
  throw new SwitchyardError('invalid_request', 'Idempotency-Key must be 1 to 255 visible ASCII characters.');
}

/**
 * Runs `act` unless it was run under this key before. Only answers below 400 are kept: after a failure the key is free,
 * since a failed request has changed nothing.
 */
export async function answerOnce(
  store: IdempotencyStore,
  use: { apiKeyId: string; key: string; request: string },
  act: () => Promise<KeptAnswer>,
): Promise<{ answer: KeptAnswer; replayed: boolean }> {
  const claimed = await store.claim(use.apiKeyId, use.key, use.request);
  if (claimed.kind === 'mismatch') throw new SwitchyardError('idempotency_mismatch');
  if (claimed.kind === 'in_progress') {
    throw claimed.sinceMs > UNKNOWN_AFTER_MS
      ? new SwitchyardError(
          'idempotency_in_progress',
          'The first request never finished, so its result is unknown. Check whether it was carried out, then use a new key.',
        )
      : new SwitchyardError('idempotency_in_progress');
  }
  if (claimed.kind === 'replay') return { answer: claimed.answer, replayed: true };
  let answer: KeptAnswer;
  try {
    answer = await act();
  } catch (error) {
    await store.release(use.apiKeyId, use.key);
    throw error;
  }
  await store.keep(use.apiKeyId, use.key, answer);
  return { answer, replayed: false };
}
