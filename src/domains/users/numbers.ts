/** The numbers of users: read in one way, each leading to one user, and to nothing else that is dialled. */
import { SwitchyardError } from '../../errors';
import type { Trx } from '../../infra/stores/db';
import { ECHO_NUMBER } from '../../infra/text/dialled-name';
import { isCountry, readNationalNumber, readTelephoneNumber } from '../../infra/text/telephone-number';
import { plainText } from '../../infra/text/plain-text';
import { findNumberHolder, findOtherDialled, listNumericNames } from './users.store';

export const callerNumber = plainText({ max: 64 })
  .refine((text) => readTelephoneNumber(text) !== undefined, {
    error:
      'must be a telephone number: digits, with a leading + if it is international (then at most 15); spaces, brackets and hyphens are ignored',
  })
  .nullable()
  .describe(
    'Shown to callees, and dialled by colleagues: each number belongs to one user of the domain. International ' +
      'numbers are stored as E.164 (+493012345), however they are written; other digits are an extension. Null: none, ' +
      'and the username is shown.',
  );

/** @param country of the domain @returns as it is kept and compared: E.164, or the digits of an extension */
export function canonicalNumber(text: string, country: string | null): string {
  const national = country !== null && isCountry(country) ? readNationalNumber(text, country) : undefined;
  return national ?? readTelephoneNumber(text)!;
}

/** The domain in which something is dialled, and the country whose ways of dialling are known there. */
export interface DialledIn {
  id: string;
  country: string | null;
}

/** Names that end in the same digits are few; whether one is the number is read from it. */
const TAIL_DIGITS = 4;

/**
 * Inside the transaction that writes it, with the domain's places held.
 * @param exceptUserId whose number it is to be, where there is that user already
 * @throws SwitchyardError conflict where something else is dialled by it, in whatever spelling
 */
export async function refuseTakenNumber(
  trx: Trx,
  domain: DialledIn,
  number: string,
  exceptUserId: string | null,
): Promise<void> {
  const other = number === ECHO_NUMBER ? 'the echo' : await findOther(trx, domain, number, exceptUserId);
  if (other === undefined) return;
  throw new SwitchyardError(
    'conflict',
    `The number ${number} belongs to ${other} already: use another number, or remove it there first.`,
    { errors: [{ path: 'callerNumber', message: `belongs to ${other} already` }] },
  );
}

async function findOther(
  trx: Trx,
  domain: DialledIn,
  number: string,
  exceptUserId: string | null,
): Promise<string | undefined> {
  const same = await findOtherDialled(trx, domain.id, number, exceptUserId);
  if (same !== undefined) return same;
  const names = await listNumericNames(trx, domain.id, number.slice(-TAIL_DIGITS), exceptUserId);
  const spelt = names.find(({ name }) => canonicalNumber(name, domain.country) === number);
  return spelt && `the ${spelt.kind} "${spelt.name}"`;
}

/**
 * The same for a name that is dialled: one that reads as the number of a user would be reached in their place.
 * @throws SwitchyardError conflict
 */
export async function refuseNumberAsName(trx: Trx, domain: DialledIn, name: string): Promise<void> {
  const digits = readTelephoneNumber(name);
  if (digits === undefined) return;
  for (const number of new Set([digits, canonicalNumber(name, domain.country)])) {
    const holder = await findNumberHolder(trx, domain.id, number);
    if (holder !== undefined && holder !== name)
      throw new SwitchyardError('conflict', `"${name}" is the number of the user "${holder}": choose another name.`);
  }
}
