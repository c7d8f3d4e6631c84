/** What is wrong with a request is said in words that can be read aloud. */
import { z } from 'zod';
import type { SwitchyardError } from '../../../src/errors';
import { validate } from '../../../src/http/request/validation';

const schema = z.object({
  name: z.string().min(1).max(2),
  pin: z.string().regex(/^[0-9]+$/, 'must be digits'),
  fps: z.int().min(5).max(30),
  width: z.int().multipleOf(2),
  images: z.array(z.string()).min(1),
  role: z.enum(['moderator', 'participant']),
  muted: z.boolean(),
  until: z.iso.datetime(),
  id: z.uuid(),
});

function faults(input: object): string[] {
  try {
    validate(schema, input, 'body');
    return [];
  } catch (error) {
    return (error as SwitchyardError).errors!.map(({ path, message }) => `${path} ${message}`);
  }
}

const good = {
  name: 'a',
  pin: '1',
  fps: 5,
  width: 2,
  images: ['x'],
  role: 'moderator',
  muted: true,
  until: '2026-01-31T12:00:00Z',
  id: '0190c1de-0000-7000-8000-000000000001',
};

test('every fault is named with what is wanted instead', () => {
  expect(faults(good)).toEqual([]);
  expect(faults({ ...good, name: undefined, colour: 'red' })).toEqual([
    'name is required',
    'colour is not a known field',
  ]);
  const others = { name: 'abc', pin: 'x', fps: 31, width: 3, images: [], role: 'king', muted: null };
  expect(faults({ ...others, until: 'tomorrow', id: 'x' })).toEqual([
    'name must have at most 2 characters',
    'pin must be digits',
    'fps must be at most 30',
    'width must be a multiple of 2',
    'images must have at least 1 entry',
    'role must be one of moderator, participant',
    'muted must be true or false',
    'until must be a time like 2026-01-31T12:00:00Z',
    'id must be an id (a UUID)',
  ]);
  expect(faults({ ...good, name: '', fps: 4.5, images: 'x' })).toEqual([
    'name must have at least 1 character',
    'fps must be a whole number',
    'images must be a list',
  ]);
});
