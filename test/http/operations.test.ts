/** How often stores are asked whether they answer: a stranger may ask us, and shall not make us ask them. */
import { createReadiness } from '../../src/http/operations';

test('a thousand who ask within a second are one question to the stores; a second later it is asked anew', async () => {
  let asked = 0;
  let nowMs = 0;
  const ready = createReadiness(
    () => Promise.resolve({ postgres: ++asked < 2 }),
    () => nowMs,
  );
  const answers = await Promise.all(Array.from({ length: 1000 }, () => ready()));
  nowMs = 999;
  expect([await ready(), answers.at(-1), asked]).toEqual([{ postgres: true }, { postgres: true }, 1]);
  nowMs = 1000;
  expect([await ready(), asked]).toEqual([{ postgres: false }, 2]);
});

test('stores that can not be asked count as away', async () => {
  const ready = createReadiness(
    () => Promise.reject(new Error('away')),
    () => 0,
  );
  expect(await ready()).toEqual({});
});
