/** Work that has no deadline of its own gets one, and leaves no timer behind. */
import { setTimeout as sleep } from 'node:timers/promises';
import { withDeadline } from '../../../src/infra/flow/deadline';

const HOUR_MS = 3_600_000;

test('work that ends in time is answered, and its timer is gone', async () => {
  const before = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  expect(await withDeadline(Promise.resolve(7), HOUR_MS, () => 0)).toBe(7);
  expect(process.getActiveResourcesInfo().filter((name) => name === 'Timeout')).toHaveLength(before);
});

test('work that fails in time fails with its own error', async () => {
  const work = Promise.reject(new Error('its own'));
  await expect(withDeadline(work, HOUR_MS, () => 0)).rejects.toThrow('its own');
});

test('work that is late is answered by what the caller wants instead', async () => {
  const never = new Promise<number>(() => undefined);
  expect(await withDeadline(never, 1, () => undefined)).toBeUndefined();
  const late = withDeadline(never, 1, () => {
    throw new Error('too late');
  });
  await expect(late).rejects.toThrow('too late');
});

test('a late failure of the work is dropped, and ends no process', async () => {
  const unhandled = jest.fn();
  process.on('unhandledRejection', unhandled);
  const failsLate = sleep(20).then(() => Promise.reject(new Error('late failure')));
  expect(await withDeadline(failsLate, 1, () => 'given up')).toBe('given up');
  await failsLate.catch(() => undefined);
  await sleep(0);
  process.off('unhandledRejection', unhandled);
  expect(unhandled).not.toHaveBeenCalled();
});
