/** Finds whose number somebody dials: as it is written, or as people of the domain's country dial it. */
import type { Pool } from 'pg';
import { createNameLookup } from '../../infra/flow/read-through-cache';
import { readNationalNumber, readTelephoneNumber, isCountry } from '../../infra/text/telephone-number';

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

const HOLDERS = {
  name: 'directory-numbers',
  text: `select asked.n::int, u.username from unnest($1::text[], $2::text[]) with ordinality as asked(domain, number, n),
         lateral (select u.username from domains d join users u on u.domain_id = d.id
           where d.name = asked.domain and u.dial_number = asked.number limit 1) u`,
};

/** The name is not looked at: a domain has one country, or none. */
const COUNTRIES = {
  name: 'directory-countries',
  text: `select asked.n::int, d.country from unnest($1::text[], $2::text[]) with ordinality as asked(domain, any_name, n)
         join domains d on d.name = asked.domain where d.country is not null`,
};

const AWAY = 'The number can not be looked up: the database is out of reach.';
const secondColumn = (row: unknown[]): string => row[1] as string;

export function createNumberLookup(pool: Pool, now: () => number): NumberLookup {
  const common = { pool, now, readRow: secondColumn, away: AWAY };
  const holders = createNameLookup<string>({ ...common, statement: HOLDERS });
  const countries = createNameLookup<string>({ ...common, statement: COUNTRIES });

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
