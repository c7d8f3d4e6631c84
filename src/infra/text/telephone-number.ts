/** The one border for telephone numbers: whatever way people write one, it is E.164 inside (+493012345), or an extension's digits. */
import { getCountries, parsePhoneNumberFromString, type CountryCode } from 'libphonenumber-js/max';

export type Country = CountryCode;

/** ISO 3166 codes of the countries whose ways of dialling are known. */
const COUNTRIES: readonly Country[] = getCountries();

export function isCountry(text: string): text is Country {
  return (COUNTRIES as readonly string[]).includes(text);
}

/** What people put between digits, and copy along with them: RFC 3966's visual separators, spaces and dashes of all kinds. */
const SEPARATORS = /[\s\u200b-\u200f\u202a-\u202e\u2060\ufeff\u2010-\u2015\u2212\-.[\]/]/gu;
/** Longer than any number with its separators. */
const MAX_TEXT = 64;
const E164 = /^\+[1-9][0-9]{2,14}$/;
const DIGITS = /^[0-9]{1,32}$/;

/**
 * Reads a number that says itself what it is: with a `+` it is international, and any other digits are an extension.
 * @param text as somebody typed it, `tel:` included: `+49 (0)30 12345`, `tel:+49-30-12345`, `47 11`
 * @returns E.164 or digits; undefined where it is no number. What it returns it reads as the same.
 */
export function readTelephoneNumber(text: string): string | undefined {
  if (text.length > MAX_TEXT) return undefined;
  const { plain, digits } = partsOf(text);
  if (!digits.startsWith('+')) return DIGITS.test(digits) ? digits : undefined;
  if (!DIGITS.test(digits.slice(1))) return undefined;
  // Only the library knows which zero is one that is not dialled from abroad: +49 (0)30, but +39 06.
  const number: string = parsePhoneNumberFromString(plain)?.number ?? digits;
  return E164.test(number) ? number : undefined;
}

/**
 * Reads digits as somebody in the country dials them: `030 12345` and `0049 30 12345` in DE. An extension is none of
 * these: it must be a whole number of that country.
 */
export function readNationalNumber(text: string, country: Country): string | undefined {
  if (text.length > MAX_TEXT) return undefined;
  const { plain, digits } = partsOf(text);
  if (!DIGITS.test(digits)) return undefined;
  const number = parsePhoneNumberFromString(plain, country);
  return number?.isValid() === true ? number.number : undefined;
}

/** Full-width digits and signs are read as the ordinary ones. `plain` still has its brackets. */
function partsOf(text: string): { plain: string; digits: string } {
  const plain = text.normalize('NFKC').trim().replace(/^tel:/i, '').replace(SEPARATORS, '');
  return { plain, digits: plain.replace(/[()]/g, '') };
}
