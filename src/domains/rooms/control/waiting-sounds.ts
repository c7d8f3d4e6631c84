/**
 * How much is played in a room, and waits to be: mod_conference opens what is played at once, however much stands before
 * it, and tones are rendered whole then. Twenty tones of a minute that wait are 107 MB of a node (48 kHz, seen on
 * 1.10.12), twenty files are twenty open files. So a room has a limit, counted in Redis for all replicas.
 */
import { SwitchyardError } from '../../../errors';
import type { Redis } from '../../../infra/stores/redis';

/** Sounds of one room that play or wait, whoever they are for. */
const MOST_SOUNDS = 20;
/** Rendered tones among them: 96 kB a second at 48 kHz, and the same again while one is opened. */
const MOST_RENDERED_MS = 120_000;
/** How long a file is thought to play: its length is known to its node only. */
export const FILE_MS = 30_000;
/** Spoken, by the character. */
export const CHARACTER_MS = 80;

/** KEYS: the room's. ARGV: for whom, rendered, played, id, most sounds, most rendered. Answers 1 where there is room for it. */
const ENTER = `
local clock = redis.call('time')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('zremrangebyscore', KEYS[1], '-inf', now)
local waiting = redis.call('zrange', KEYS[1], 0, -1, 'withscores')
local rendered, begins = 0, now
for i = 1, #waiting, 2 do
  local whom, ms = string.match(waiting[i], '^(%S+) (%d+) ')
  rendered = rendered + ms
  if whom == ARGV[1] then begins = math.max(begins, tonumber(waiting[i + 1])) end
end
if #waiting / 2 >= tonumber(ARGV[5]) or rendered + ARGV[2] > tonumber(ARGV[6]) then return 0 end
redis.call('zadd', KEYS[1], begins + ARGV[3], ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. ARGV[4])
local last = redis.call('zrange', KEYS[1], -1, -1, 'withscores')[2]
redis.call('pexpire', KEYS[1], math.ceil(last - now) + 1000)
return 1`;

/** KEYS: the room's. ARGV: for whom. */
const STOP = `
for _, member in ipairs(redis.call('zrange', KEYS[1], 0, -1)) do
  if string.match(member, '^(%S+) ') == ARGV[1] then redis.call('zrem', KEYS[1], member) end
end`;

export interface WaitingSound {
  /** Of one member alone; of everybody where it is left out. */
  memberId?: number;
  /** What a node renders when it opens it. */
  renderedMs: number;
  playedMs: number;
}

export interface WaitingSounds {
  /** @returns takes it out again, where its node did not play it @throws conflict where too much waits, unavailable while Redis is away */
  enter(sessionId: string, sound: WaitingSound): Promise<() => Promise<void>>;
  /** All that one hears alone, or all hear, was stopped. */
  stop(sessionId: string, memberId?: number): Promise<void>;
}

export function createWaitingSounds(redis: Redis, prefix: string, createId: () => string): WaitingSounds {
  const keyOf = (sessionId: string): string => `${prefix}:sounds:${sessionId}`;
  const whom = (memberId?: number): string => (memberId === undefined ? 'all' : String(memberId));
  return {
    async enter(sessionId, { memberId, renderedMs, playedMs }) {
      const key = keyOf(sessionId);
      const id = createId();
      const args = [whom(memberId), renderedMs, playedMs, id, MOST_SOUNDS, MOST_RENDERED_MS];
      const entered = await redis.eval(ENTER, 1, key, ...args).catch((error: unknown) => {
        throw new SwitchyardError('unavailable', 'The playback queue is unknown while Redis is unavailable.', {
          cause: error,
        });
      });
      if (entered !== 1) {
        throw new SwitchyardError(
          'conflict',
          `The room's playback queue is full: at most ${MOST_SOUNDS} sounds, and ${MOST_RENDERED_MS / 1000} s of tones, ` +
            'can play or wait. Stop playback, or retry later.',
        );
      }
      return async () => {
        await redis.zrem(key, `${whom(memberId)} ${renderedMs} ${id}`).catch(() => undefined); // it ends by itself
      };
    },
    async stop(sessionId, memberId) {
      await redis.eval(STOP, 1, keyOf(sessionId), whom(memberId)).catch(() => undefined); // they end by themselves
    },
  };
}
