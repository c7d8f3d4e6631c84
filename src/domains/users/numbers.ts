/** The numbers of users: read in one way, each leading to one user, and to nothing else that is dialled. */
import { SwitchyardError } from '../../errors';
import type { Trx } from '../../infra/db';
import { ECHO_NUMBER } from '../../infra/dialled-name';
import { isCountry, readNationalNumber, readTelephoneNumber } from '../../infra/telephone-number';
import { plainText } from '../../infra/text';
import { findNumberHolder, findOtherDialled } from './users.store';

export const callerNumber = plainText({ max: 64 })
  .refine((text) => readTelephoneNumber(text) !== undefined, {
    error:
      'must be a telephone number: digits, with a + before them where it is international, at most 15 of them then; spaces, brackets and hyphens are left out',
  })
  .nullable()
  .describe(
    'Shown to who is called, and dialled by colleagues: each number leads to one user of the domain. International ' +
      'numbers are kept as E.164 (+493012345), whatever way they are written; other digits are an extension. Null: none, ' +
      'and the username is shown.',
  );

/** @param country of the domain @returns as it is kept and compared: E.164, or the digits of an extension */
export function canonicalNumber(text: string, country: string | null): string {
  const national = country !== null && isCountry(country) ? readNationalNumber(text, country) : undefined;
  return national ?? readTelephoneNumber(text)!;
}

/**
 * Inside the transaction that writes it, with the domain's places held.
 * @param exceptUserId whose number it is to be, where there is that user already
 * @throws SwitchyardError conflict where something else is dialled by it
 */
export async function refuseTakenNumber(
  trx: Trx,
  domainId: string,
  number: string,
  exceptUserId: string | null,
): Promise<void> {
  const other = number === ECHO_NUMBER ? 'the echo' : await findOtherDialled(trx, domainId, number, exceptUserId);
  if (other === undefined) return;
  throw new SwitchyardError(
    'conflict',
    `The number ${number} leads to ${other} already: give another, or take it from there first.`,
    { errors: [{ path: 'callerNumber', message: `leads to ${other} already` }] },
  );
}

/** The same for a name that is dialled. @throws SwitchyardError conflict where it is the number of a user */
export async function refuseNumberAsName(trx: Trx, domainId: string, name: string): Promise<void> {
  const holder = /^[0-9]+$/.test(name) ? await findNumberHolder(trx, domainId, name) : undefined;
  if (holder === undefined || holder === name) return;
  throw new SwitchyardError('conflict', `"${name}" is the number of the user "${holder}": choose another name.`);
}
