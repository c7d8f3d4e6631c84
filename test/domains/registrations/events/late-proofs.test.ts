/** Phones whose password is not known of yet wait; a node that makes logins up takes nobody else's place. */
import { createLateProofs } from '../../../../src/domains/registrations/events/late-proofs';
import { createLogger } from '../../../../src/infra/logger';

test("a node that makes logins up without end fills its own places, and no other's", async () => {
  const proofs = createLateProofs({ logger: createLogger('silent'), sleep: () => Promise.resolve() });
  let finish: () => void = () => undefined;
  const looked = new Promise<void>((resolve) => (finish = resolve));
  const taken = Array.from({ length: 20_000 }, (_, i) => proofs.add('bad', `bad u${i}@a.test`, () => looked));
  expect(taken.filter(Boolean)).toHaveLength(1000);
  const seen: string[] = [];
  expect(proofs.add('good', 'good ann@a.test', () => Promise.resolve(void seen.push('ann')))).toBe(true);
  finish();
  await proofs.settled();
  expect(seen).toEqual(['ann']);
  expect(proofs.add('bad', 'bad ann@a.test', () => Promise.resolve())).toBe(true);
});
