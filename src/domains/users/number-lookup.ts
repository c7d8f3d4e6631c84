/** Finds whose number somebody dials: as it is written, or as people of the domain's country dial it. */
import type { Pool } from 'pg';
import { createReadThroughCache } from '../../infra/flow/read-through-cache';
import { readNationalNumber, readTelephoneNumber, isCountry } from '../../infra/text/telephone-number';
import { COUNTRY_LOOKUP, NUMBER_LOOKUP } from './directory.store';

export interface NumberLookup {
  /**
   * @param text as it was dialled or written
   * @returns the user name that the number leads to; undefined where it is nobody's, or no number
   * @throws unavailable where it can't be known
   */
  findHolder(text: string, domain: string): Promise<string | undefined>;
  /** Forgets the numbers of the user, after a change. */
  forgetHolder(username: string): void;
}

const AWAY = 'The number can not be looked up: the database is out of reach.';
const secondColumn = (row: unknown[]): string => row[1] as string;

export function createNumberLookup(pool: Pool, now: () => number): NumberLookup {
  const common = { pool, now, readRow: secondColumn, away: AWAY };
  const holders = createReadThroughCache<string>({ ...common, statement: NUMBER_LOOKUP });
  const countries = createReadThroughCache<string>({ ...common, statement: COUNTRY_LOOKUP });

  async function findNational(text: string, domain: string): Promise<string | undefined> {
    const country = await countries.find('', domain);
    const number = country !== undefined && isCountry(country) ? readNationalNumber(text, country) : undefined;
    return number === undefined ? undefined : holders.find(number, domain);
  }

  return {
    async findHolder(text, domain) {
      const number = readTelephoneNumber(text);
      if (number === undefined) return undefined;
      return (await holders.find(number, domain)) ?? (number.startsWith('+') ? undefined : findNational(text, domain));
    },
    forgetHolder: (username) => holders.drop((holder) => holder === username),
  };
}
