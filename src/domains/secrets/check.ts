/** Says at the start, and in one line, that SWITCHYARD_SECRET is not the database's: else it would only fail later, and at others. */
import type { Db, Queryable } from '../../infra/stores/db';
import type { Logger } from '../../infra/logger';
import { decryptSecret, secretNames } from '../../infra/secrets';
import {
  listFirstForm,
  listKnownSecrets,
  saveKnownSecrets,
  SEALED_COLUMNS,
  withSecretsLocked,
  type KnownSecret,
} from './secrets.store';

/** Of each column: some may be of a replica that once ran with a wrong secret, and not all of them. */
const SAMPLES = 10;

export interface StartFacts {
  /** The names of SWITCHYARD_SECRET and of those in SWITCHYARD_SECRET_OLD. */
  here: readonly [string, ...string[]];
  known: readonly Pick<KnownSecret, 'name' | 'is_current'>[];
  /** Of texts that name no secret: how many were tried, and how many opened. */
  samples: { tried: number; opened: number };
}

export type StartDecision =
  | { do: 'refuse'; why: string }
  /** `is` says what has happened; `names` are those the database knows from now on, the first is written with. */
  | { do: 'start'; is: 'first' | 'same' | 'changed'; names: readonly [string, ...string[]] };

const REMEDY = 'Set the right one; or, to change it, name the former one in SWITCHYARD_SECRET_OLD.';

/** Pure: may a replica with these secrets start on this database? */
export function decideStart({ here, known, samples }: StartFacts): StartDecision {
  const current = known.find((one) => one.is_current)?.name;
  if (current !== undefined && !here.includes(current)) {
    return {
      do: 'refuse',
      why:
        `SWITCHYARD_SECRET is not the secret of this database: the database's secret is called ${current}, ` +
        `this one ${here[0]}. ${REMEDY}`,
    };
  }
  const missing = known.map(({ name }) => name).filter((name) => !here.includes(name));
  if (missing.length > 0) {
    return {
      do: 'refuse',
      why:
        `The database still uses the previous secret called ${missing.join(' and ')}: name it in ` +
        'SWITCHYARD_SECRET_OLD until the log says that it is no longer needed.',
    };
  }
  if (known.length > 0) return { do: 'start', is: current === here[0] ? 'same' : 'changed', names: [here[0]] };
  if (samples.tried === 0) return { do: 'start', is: 'first', names: [here[0]] };
  if (samples.opened === 0) {
    return {
      do: 'refuse',
      why:
        'SWITCHYARD_SECRET is not the secret of this database: it opens none of ' +
        `${samples.tried} sealed texts. ${REMEDY}`,
    };
  }
  // Which of them has sealed the old texts is not said: none may be left out before they are sealed again.
  return { do: 'start', is: 'first', names: here };
}

/** @throws Error where this replica may not start; nothing was changed then */
export async function checkSecrets(db: Db, secretKey: Buffer, logger: Logger): Promise<void> {
  const here = secretNames(secretKey);
  const { decision, known } = await withSecretsLocked(db, async (trx) => {
    const rows = await listKnownSecrets(trx);
    const samples = rows.length > 0 ? { tried: 0, opened: 0 } : await trySamples(trx, secretKey);
    const made = decideStart({ here, known: rows, samples });
    if (made.do === 'start' && made.is !== 'same') await saveKnownSecrets(trx, made.names);
    return { decision: made, known: rows };
  });
  if (decision.do === 'refuse') throw new Error(decision.why);
  if (decision.is === 'changed') {
    logger.info({ secret: here[0] }, 'SWITCHYARD_SECRET has changed: what the former one has sealed is sealed anew');
  }
  const idle = here.slice(1).filter((name) => !known.some((one) => one.name === name));
  if (idle.length > 0 && known.length > 0) {
    logger.info({ secrets: idle }, 'nothing is sealed with these secrets of SWITCHYARD_SECRET_OLD');
  }
}

async function trySamples(db: Queryable, secretKey: Buffer): Promise<{ tried: number; opened: number }> {
  const count = { tried: 0, opened: 0 };
  for (const column of SEALED_COLUMNS) {
    if (column.purpose === 'digest') continue; // these stood in clear
    for (const { sealed, of } of await listFirstForm(db, column, SAMPLES)) {
      count.tried += 1;
      try {
        decryptSecret(secretKey, { purpose: column.purpose, of }, sealed);
        count.opened += 1;
      } catch {
        // counted
      }
    }
  }
  return count;
}
