/** What a person may type: one place says which characters text may hold before it goes to a database, XML or a wire. */
import { z } from 'zod';

const UNSAFE = /[\p{Cc}\p{Cs}\p{Noncharacter_Code_Point}\u2028\u2029]/u;

/** True for text without control characters, line breaks, halves of surrogate pairs and non-characters. */
export function isPlainText(text: string): boolean {
  return !UNSAFE.test(text);
}

/** What a node says, short enough to be kept: cut between characters, and without what no database takes. */
export function keepableText(text: string, max: number): string {
  return text.slice(0, max).replaceAll('\u0000', '\ufffd').replace(HALVES, '\ufffd');
}

const HALVES = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** One line of any Unicode text; its length counts characters, so that an emoji is one. */
export function plainText(options: { min?: number; max: number }) {
  const { min = 0, max } = options;
  return z
    .string()
    .refine((s) => s.length <= max * 2 && [...s].length <= max, `must have at most ${max} characters`)
    .refine((s) => s.length >= min, `must have at least ${min} characters`)
    .refine(isPlainText, 'must not contain control characters or line breaks')
    .meta({ ...(min > 0 ? { minLength: min } : {}), maxLength: max });
}
