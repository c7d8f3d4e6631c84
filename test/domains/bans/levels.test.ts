import {
  decideAfterApiFailure,
  decideAfterLogin,
  decideAfterPin,
  durationMs,
  nextLevel,
  type LoginCounts,
} from '../../../src/domains/bans/levels';

const DAY_MS = 86_400_000;
const counts = (more: Partial<LoginCounts>): LoginCounts => ({
  ofLogin: 1,
  ofAddress: 1,
  addressesOfUser: 1,
  goodUsers: 0,
  isGood: false,
  ...more,
});
const nothing = { do: 'nothing' };
const slow = (ms: number) => ({ do: 'slow', ms });

describe('after a failed login', () => {
  test('four slips are free; then an address is slowed, twice as long each time, and banned at ten', () => {
    const steps = [4, 5, 6, 7, 8, 9, 10, 11].map((n) => decideAfterLogin(counts({ ofAddress: n }), false).address);
    const ban = { do: 'ban' };
    expect(steps).toEqual([nothing, slow(1000), slow(2000), slow(4000), slow(8000), slow(8000), ban, ban]);
  });

  test('the address is banned for one who fails alone, also where its own count begins anew', () => {
    expect(decideAfterLogin(counts({ ofLogin: 12, ofAddress: 1 }), false).address).toEqual({ do: 'ban' });
  });

  test('where others got in, only the one who fails is slowed and banned', () => {
    const at = (ofLogin: number) => decideAfterLogin(counts({ ofLogin, ofAddress: ofLogin, goodUsers: 1 }), false);
    expect(at(5)).toEqual({ login: slow(1000), address: nothing });
    expect(at(10)).toEqual({ login: { do: 'ban' }, address: nothing });
  });

  test.each([
    [1, 19, 'nothing'],
    [1, 20, 'ban'],
    [20, 209, 'nothing'],
    [20, 210, 'ban'],
    [600, 499, 'nothing'],
    [600, 500, 'ban'],
  ])('with %i good users and %i failures the address gets: %s', (goodUsers, ofAddress, step) => {
    expect(decideAfterLogin(counts({ goodUsers, ofAddress }), false).address.do).toBe(step);
  });

  test('a user who is guessed from many addresses has one try a minute where they never were', () => {
    const besieged = { addressesOfUser: 10, goodUsers: 3 };
    expect(decideAfterLogin(counts(besieged), false).login).toEqual(slow(60_000));
    expect(decideAfterLogin(counts({ ...besieged, ofLogin: 3 }), false).login).toEqual(slow(180_000));
    expect(decideAfterLogin(counts({ ...besieged, isGood: true }), false).login).toEqual(nothing);
    expect(decideAfterLogin(counts({ ...besieged, addressesOfUser: 9 }), false).login).toEqual(nothing);
  });

  test('an address that is never banned is slowed for each user by themselves, a minute at most', () => {
    const at = (ofLogin: number) => decideAfterLogin(counts({ ofLogin, ofAddress: 1000 }), true);
    expect(at(4)).toEqual({ login: nothing, address: nothing });
    expect(at(5)).toEqual({ login: slow(1000), address: nothing });
    expect(at(1e9)).toEqual({ login: slow(60_000), address: nothing });
  });
});

test('keys that nobody has shut an address only from which no good one comes', () => {
  expect(decideAfterApiFailure(99, 0, false).do).toBe('nothing');
  expect(decideAfterApiFailure(100, 0, false).do).toBe('ban');
  expect(decideAfterApiFailure(5000, 1, false).do).toBe('nothing');
  expect(decideAfterApiFailure(5000, 0, true).do).toBe('nothing');
});

test('six wrong PINs of a caller, thirty for a room', () => {
  expect(decideAfterPin({ ofCaller: 5, ofRoom: 29 })).toEqual({ caller: nothing, room: nothing });
  expect(decideAfterPin({ ofCaller: 6, ofRoom: 29 })).toEqual({ caller: { do: 'ban' }, room: nothing });
  expect(decideAfterPin({ ofCaller: 1, ofRoom: 30 })).toEqual({ caller: nothing, room: { do: 'ban' } });
});

test('each ban lasts longer than the one before, up to a day', () => {
  const minutes = (door: 'sip' | 'api' | 'room') => [1, 2, 3, 4, 5].map((level) => durationMs(door, level) / 60_000);
  expect(minutes('sip')).toEqual([1, 5, 30, 120, 1440]);
  expect(minutes('room')).toEqual([1, 5, 30, 120, 1440]);
  expect(minutes('api')).toEqual([1, 5, 15, 15, 15]);
});

test('ten thousand PINs take longer than a year', () => {
  let [atMs, tried, level, endedAtMs] = [0, 0, 0, 0];
  while (tried < 10_000) {
    tried += 30;
    level = nextLevel(level === 0 ? undefined : { level, endedAtMs, isForgiven: false }, atMs);
    atMs += durationMs('room', level);
    endedAtMs = atMs;
  }
  expect(atMs).toBeGreaterThan(300 * DAY_MS);
});

test.each([
  ['none before', undefined, 1],
  ['one that just ended', { level: 1, endedAtMs: 0, isForgiven: false }, 2],
  ['the highest', { level: 5, endedAtMs: 0, isForgiven: false }, 5],
  ['one that was a mistake', { level: 5, endedAtMs: 0, isForgiven: true }, 1],
  ['the third, two days ago', { level: 3, endedAtMs: -2 * DAY_MS, isForgiven: false }, 2],
  ['the fifth, a year ago', { level: 5, endedAtMs: -365 * DAY_MS, isForgiven: false }, 1],
  ['one that ends in the future, by another clock', { level: 2, endedAtMs: DAY_MS, isForgiven: false }, 3],
] as const)('after %s the next ban is of the right level', (_what, last, level) => {
  expect(nextLevel(last, 1000)).toBe(level);
});
