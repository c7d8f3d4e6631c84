import { randomBytes } from 'node:crypto';
import { explainWeakness } from '../../../src/domains/users/password-strength';

const own = ['1001', 'clinic.test', 'Zoë Müller'];

test.each([
  ['12345678', 'most used'],
  ['qwertyuiop', 'most used'],
  ['zxcvbnm,', 'row of keys'],
  ['abcdefghijkl', 'sequence'],
  ['aaaaaaaaaaaa', 'repeats'],
  ['abababababab', 'repeats'],
  ['01.02.1990', 'date'],
  ['P@ssw0rd', 'password'],
  ['hippopotamus', 'a word'],
  ['refrigerator1', 'a word'],
  ['Sommer2024!', 'a word with a year'],
  ['Herbst-2025', 'a word with a year'],
  ['2024Winter!', 'a word with a year'],
  ['Été1998!!', 'a word with a year'],
  ['Берлин2024', 'a word with a year'],
  ['SOMMER24!', 'a word with a year'],
  ['Krankenhaus1!', 'a word with a year'],
  ['1001clinic', 'a word with a year'],
  ['clinic.test', "the user's or the domain's name"],
  ['Müller12', 'a word with a year'],
])('%s is refused, and it is said why', (password, why) => {
  expect(explainWeakness(password, own)).toContain(why);
});

test.each([
  'correct horse battery',
  'a long password 1',
  'kT3$vv9q',
  'tugboat-7-lantern',
  'Sommer-am-See-2024',
  'x7Qh2024!',
])('%s may stand', (password) => {
  expect(explainWeakness(password, own)).toBeUndefined();
});

test('a long password costs no more than one of its first 16 characters', () => {
  const timeOf = (bytes: number): number => {
    const beganMs = performance.now();
    for (let i = 0; i < 40; i += 1) explainWeakness(randomBytes(bytes).toString('base64'), own);
    return performance.now() - beganMs;
  };
  timeOf(12);
  // Read as a whole, 128 characters took 25 times as long as 16.
  expect(timeOf(96) / timeOf(12)).toBeLessThan(6);
});
