/** Follows a change of SWITCHYARD_SECRET to its end: says who writes with which, seals again, and tells when the old one can go. */
import { secretNames } from '../../infra/secrets';
import { sealAnew, type SealingDeps } from './sealing';
import {
  countKeptAnswers,
  forgetSecret,
  listKnownSecrets,
  noteSecretUse,
  readDatabaseClock,
  type KnownSecret,
} from './secrets.store';

/** How often each replica says what it writes with. */
export const ROTATION_STEP_MS = 60_000;
/** A secret counts as used until three such notes are missing: a replica that is busy notes late. */
const IN_USE_MS = 3 * ROTATION_STEP_MS;
/** How often all is looked through where nothing is to be expected. */
const LOOK_AGAIN_MS = 3_600_000;

export interface RotationDeps extends SealingDeps {
  /** True where this replica seals; several at once do no harm. Left out: it never does. */
  acquireLease?: () => Promise<boolean>;
}

export interface Rotation {
  /** One look; every ROTATION_STEP_MS. */
  step(signal: AbortSignal): Promise<void>;
}

/** A walk through everything that found nothing left to do, by the database's clock. */
export interface CleanRound {
  beganAt: Date;
}

/** Pure: must all be looked through now? */
function isRoundDue(clean: CleanRound | undefined, former: readonly KnownSecret[], now: Date): boolean {
  if (!clean) return true;
  if (now.getTime() - clean.beganAt.getTime() >= LOOK_AGAIN_MS) return true;
  return former.some((secret) => !isUsed(secret, now) && !isFree(secret, clean));
}

const isUsed = (secret: KnownSecret, now: Date): boolean => now.getTime() - secret.used_at.getTime() < IN_USE_MS;

/** Pure: was it looked through, with nothing left, after the last replica that wrote with it was gone? */
const isFree = (secret: KnownSecret, clean: CleanRound | undefined): boolean =>
  clean !== undefined && clean.beganAt.getTime() - secret.used_at.getTime() >= IN_USE_MS;

export function createRotation(deps: RotationDeps): Rotation {
  const { db, logger, secretKey } = deps;
  const [mine, ...others] = secretNames(secretKey);
  const here = new Set([mine, ...others]);
  /** What was said once is not said every minute. */
  const said = new Set<string>();
  let clean: CleanRound | undefined;

  function sayOnce(key: string, say: () => void): void {
    if (!said.has(key)) say();
    said.add(key);
  }

  function warnOfStrangers(known: readonly KnownSecret[]): void {
    for (const { name } of known) {
      if (here.has(name)) continue;
      sayOnce(`stranger ${name}`, () =>
        logger.error(
          { secret: name, mine },
          'another replica writes with a SWITCHYARD_SECRET that this one does not know, and can not read what it ' +
            'writes: name both in every replica (SWITCHYARD_SECRET_OLD)',
        ),
      );
    }
  }

  async function check(signal: AbortSignal): Promise<void> {
    const beganAt = await readDatabaseClock(db);
    const round = await sealAnew(deps, signal);
    if (round.isWhole && round.sealed === 0 && round.missed === 0) clean = { beganAt };
  }

  async function release(secret: KnownSecret): Promise<void> {
    const answers = await countKeptAnswers(db, secret.name);
    if (answers.count > 0) {
      sayOnce(`answers ${secret.name}`, () =>
        logger.info(
          { secret: secret.name, answers: answers.count },
          'all that stays is sealed anew; answers to requests with an Idempotency-Key still need the former secret, ' +
            'for a day at most',
        ),
      );
      return;
    }
    if (!(await forgetSecret(db, secret.name, secret.used_at))) return;
    logger.info(
      { secret: secret.name },
      'nothing is sealed with the former secret: SWITCHYARD_SECRET_OLD is no longer needed',
    );
  }

  return {
    async step(signal) {
      await noteSecretUse(db, mine);
      const known = await listKnownSecrets(db);
      warnOfStrangers(known);
      const isCurrent = known.some((secret) => secret.name === mine && secret.is_current);
      // One that another has taken the place of seals nothing: both would seal the same rows in turns.
      if (!isCurrent || !deps.acquireLease || !(await deps.acquireLease())) return;
      const former = known.filter((secret) => !secret.is_current);
      if (isRoundDue(clean, former, await readDatabaseClock(db))) await check(signal);
      for (const secret of former) {
        if (isFree(secret, clean) && !signal.aborted) await release(secret);
      }
    },
  };
}
