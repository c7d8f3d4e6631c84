import { decideDoor, OPEN_MS, SHUT_MS } from '../../../../src/domains/nodes/drain/door';
import { refusesPhones } from '../../../../src/domains/nodes/drain/phones';

const NOW = 1_000_000;
const at = (ms: number): Date => new Date(NOW + ms);

const node = (id: string, change: object = {}) => ({
  id,
  state: 'serving' as const,
  drain_deadline_at: null,
  keeps_phones: false,
  door_open_until: null,
  reported_at: at(-1000),
  unhealthy_reason: null,
  ...change,
});
const leaving = (change: object = {}) => node('a', { state: 'draining', drain_deadline_at: at(60_000), ...change });
const refuses = (self: ReturnType<typeof node>, others: ReturnType<typeof node>[], rooms: string[] = []): boolean =>
  refusesPhones(self, { pool: [self, ...others], roomNodeIds: new Set(rooms), nowMs: NOW, reportLimitMs: 10_000 });

test('a draining node turns phones away while another one takes them', () => {
  expect(refuses(leaving(), [node('b')])).toBe(true);
  expect(refuses(node('a'), [node('b')])).toBe(false);
});

test.each([
  ['no other node is there', leaving(), []],
  ['the other one drains too', leaving(), [node('b', { state: 'draining' })]],
  ['the other one is not well', leaving(), [node('b', { unhealthy_reason: 'no sound' })]],
  ['the other one is silent', leaving(), [node('b', { reported_at: at(-60_000) })]],
  ['the other one never reported', leaving(), [node('b', { reported_at: null })]],
  ['an operator keeps its phones', leaving({ keeps_phones: true }), [node('b')]],
  ['a phone is being rung', leaving({ door_open_until: at(500) }), [node('b')]],
])('a draining node takes its phones where %s', (_, self, others) => expect(refuses(self, others)).toBe(false));

test('a draining node with a room takes those who come into it', () =>
  expect(refuses(leaving(), [node('b')], ['a'])).toBe(false));

const door = (phones_refused: boolean, opened?: number) =>
  decideDoor({ phones_refused, door_open_until: opened === undefined ? null : at(opened + OPEN_MS) }, NOW);

test('a door is opened for a call, and after that stays shut for a while however many call', () => {
  expect(door(true)).toBe('open');
  expect(door(true, -OPEN_MS - SHUT_MS)).toBe('open');
  expect(door(true, -OPEN_MS - SHUT_MS + 700)).toEqual({ waitMs: 700 });
  expect(door(true, -100)).toEqual({ waitMs: expect.any(Number) }); // it was just told
  expect(door(false)).toBe('go');
  expect(door(false, -500)).toBe('go');
  expect(door(false, -50)).toEqual({ waitMs: expect.any(Number) }); // it reads its profile
  expect(door(false, -OPEN_MS + 50)).toEqual({ waitMs: expect.any(Number) }); // it is about to shut
  expect(door(false, -OPEN_MS - SHUT_MS)).toBe('go');
});
