/** Says of a password that others would guess it: words, names, dates, sequences and rows of keys (NIST 800-63B, 5.1.1.2). */
import { ZxcvbnFactory } from '@zxcvbn-ts/core';
import { adjacencyGraphs, dictionary as common } from '@zxcvbn-ts/language-common';
import { dictionary as english } from '@zxcvbn-ts/language-en';

/** Below this many guesses a password is refused: a ban lets some fifty a day pass, from each of many addresses. */
const LEAST_GUESSES_LOG10 = 6;
/**
 * What stands behind makes a password no weaker. The time grows with the length: a random one took 2 ms at 16
 * characters, 20 ms at 64 and 52 ms at 128, in which nobody else is answered.
 */
const READ_CHARACTERS = 16;

/**
 * What people make of the rule "letters, digits and a mark": one word of any language, a year or a few digits, a mark.
 * The lists know the words of one language only; whoever guesses goes through those of the place, with every year.
 */
const WORD_AND_NUMBER =
  /^(?:\p{Lu}?\p{Ll}{2,11}|\p{Lu}{3,12})[^\p{L}\p{N}]{0,2}(?:(?:19|20)?\d{2}|\d{1,4})[^\p{L}\p{N}]{0,2}$/u;
const NUMBER_AND_WORD =
  /^(?:(?:19|20)?\d{2}|\d{1,4})[^\p{L}\p{N}]{0,2}(?:\p{Lu}?\p{Ll}{2,11}|\p{Lu}{3,12})[^\p{L}\p{N}]{0,2}$/u;

/** Made at the first use (0.1 s, 30 MB): a replica that serves no API does without. */
let checker: ZxcvbnFactory | undefined;
const theChecker = (): ZxcvbnFactory =>
  (checker ??= new ZxcvbnFactory({
    dictionary: { ...common, 'commonWords-en': english['commonWords-en'] },
    graphs: adjacencyGraphs,
    maxLength: READ_CHARACTERS,
  }));

/** zxcvbn's word for what it found, in ours. */
const WHY: Record<string, string> = {
  straightRow: 'it is a row of keys',
  keyPattern: 'it is a pattern of keys',
  simpleRepeat: 'it repeats one character',
  extendedRepeat: 'it repeats itself',
  sequences: 'it is a sequence',
  recentYears: 'it is a year',
  dates: 'it is a date',
  topTen: 'it is one of the ten most used passwords',
  topHundred: 'it is one of the most used passwords',
  common: 'it is a much used password',
  similarToCommon: 'it is like a much used password',
  wordByItself: 'it is a word',
  userInputs: "it is made of the user's or the domain's name",
};

/**
 * @param own what is known of the user, and so tried first: user name, domain, name for people
 * @returns why it is refused, for the person who chose it; undefined where it may stand
 */
export function explainWeakness(password: string, own: readonly string[]): string | undefined {
  const plain = password.normalize('NFC').trim();
  if (WORD_AND_NUMBER.test(plain) || NUMBER_AND_WORD.test(plain))
    return 'is easy to guess: it is a word with a year or a few digits';
  const known = own.flatMap((text) => [text, ...text.split(/[^\p{L}\p{N}]+/u)]).filter((text) => text.length > 2);
  const result = theChecker().check(password, [...new Set(known)]);
  if (result.guessesLog10 >= LEAST_GUESSES_LOG10) return undefined;
  return `is easy to guess: ${WHY[result.feedback.warning ?? ''] ?? 'it is a word, a name or a pattern'}`;
}
