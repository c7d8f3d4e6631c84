/** Seals again, in small batches and beside everything else, what a former secret has sealed or nobody yet. */
import type { Db } from '../../infra/stores/db';
import type { Logger } from '../../infra/logger';
import { decryptSecret, encryptSecret, isClearDigest, sealedPrefix, type Sealed } from '../../infra/secrets';
import { readUnsealed, SEALED_COLUMNS, writeSealed, type SealedColumn } from './secrets.store';

/** 500 take some 10 ms of this process, which answers phones in the meantime. */
const BATCH = 500;
const TELL_EVERY = 10_000;
/** Named in the log, of those that can't be opened; all of them are counted. */
const NAMED = 10;

export interface SealingDeps {
  db: Db;
  secretKey: Buffer;
  logger: Logger;
}

/** What one walk through everything found. */
export interface SealingRound {
  sealed: number;
  /** Changed by somebody else at that moment: the next round looks at them again. */
  missed: number;
  /** Sealed with a secret that is not known here, or damaged. Nobody can read them, whatever is kept. */
  unreadable: number;
  /** False where it was told to stop. */
  isWhole: boolean;
}

/** One walk. It may be broken off anywhere, and two at once do no harm: what is changed in the meantime is left as it is. */
export async function sealAnew(deps: SealingDeps, signal: AbortSignal): Promise<SealingRound> {
  const round: SealingRound = { sealed: 0, missed: 0, unreadable: 0, isWhole: true };
  for (const column of SEALED_COLUMNS) await walk(deps, column, round, signal);
  if (round.sealed > 0) deps.logger.info({ ...round }, 'what was kept is sealed with SWITCHYARD_SECRET as it is now');
  return round;
}

async function walk(deps: SealingDeps, column: SealedColumn, round: SealingRound, signal: AbortSignal): Promise<void> {
  const prefix = sealedPrefix(deps.secretKey);
  const unreadable: string[] = [];
  let after: string | undefined;
  do {
    if (signal.aborted) {
      round.isWhole = false;
      return;
    }
    const { rows, next } = await readUnsealed(deps.db, column, { after, size: BATCH, prefix });
    const anew = rows.flatMap(({ id, sealed: was, of }) => {
      const sealed = seal(deps.secretKey, { purpose: column.purpose, of }, was);
      if (sealed === undefined) unreadable.push(id);
      return sealed === undefined ? [] : [{ id, was, sealed }];
    });
    const written = await writeSealed(deps.db, column, anew);
    const told = Math.floor(round.sealed / TELL_EVERY);
    round.sealed += written;
    round.missed += anew.length - written;
    if (Math.floor(round.sealed / TELL_EVERY) > told) {
      deps.logger.info({ table: column.table, sealed: round.sealed }, 'sealing what is kept goes on');
    }
    after = next;
  } while (after !== undefined);
  if (unreadable.length === 0) return;
  round.unreadable += unreadable.length;
  deps.logger.error(
    { table: column.table, column: column.column, count: unreadable.length, ids: unreadable.slice(0, NAMED) },
    'sealed texts can not be opened with any secret that is known here: they have to be set anew',
  );
}

/** @returns undefined where it can't be opened */
function seal(secretKey: Buffer, what: Sealed, kept: string): string | undefined {
  try {
    const plain = what.purpose === 'digest' && isClearDigest(kept) ? kept : decryptSecret(secretKey, what, kept);
    return encryptSecret(secretKey, what, plain);
  } catch {
    return undefined;
  }
}
