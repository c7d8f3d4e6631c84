/** The scripts of the fair queue: each step of it happens as a whole, whoever else takes one at the same moment. */

/**
 * KEYS[1]: what all names begin with, in braces, so that a Redis cluster keeps them together.
 * - `ring`: domains that take their turn, by when it comes; `turns` counts the places given.
 * - `ready:DOMAIN`: its waiting calls, by their order.
 * - `taken`: calls that somebody is placing, until when that is believed.
 * - `later`: single calls that wait for a moment, as `DOMAIN CALL ORDER`.
 * - `full`, `dry`: domains that take no turn, until when: at their limit of ringing calls, or without a node.
 * - `tries`: how often a domain was without a node, one after the other.
 * The time is that of Redis: replicas' clocks need not agree.
 */
const BEGIN = `
local base = KEYS[1]
local ring, taken, later = base .. ':ring', base .. ':taken', base .. ':later'
local full, dry, tries = base .. ':full', base .. ':dry', base .. ':tries'
local clock = redis.call('time')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function ready(domain) return base .. ':ready:' .. domain end
-- at the end of the ring, where it takes turns at all and has no place yet
local function enter(domain)
  if redis.call('zscore', full, domain) or redis.call('zscore', dry, domain) then return 0 end
  return redis.call('zadd', ring, 'nx', redis.call('incr', base .. ':turns'), domain)
end
local function enterIfReady(domain)
  if redis.call('zcard', ready(domain)) > 0 then return enter(domain) end
  redis.call('hdel', tries, domain)
  return 0
end
local function comeBack()
  for _, key in ipairs({full, dry}) do
    for _, domain in ipairs(redis.call('zrangebyscore', key, '-inf', now, 'limit', 0, 200)) do
      redis.call('zrem', key, domain)
      enterIfReady(domain)
    end
  end
  for _, member in ipairs(redis.call('zrangebyscore', later, '-inf', now, 'limit', 0, 200)) do
    redis.call('zrem', later, member)
    local domain, call, order = string.match(member, '^(%S+) (%S+) (%S+)$')
    redis.call('zadd', ready(domain), order, call)
    enter(domain)
  end
end`;

/** ARGV: domain, call, order. Answers 1 where the domain has begun to take turns. */
export const ADD = `${BEGIN}
redis.call('zrem', taken, ARGV[2])
redis.call('zrem', later, ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. ARGV[3])
redis.call('zadd', ready(ARGV[1]), ARGV[3], ARGV[2])
return enter(ARGV[1])`;

/** ARGV: how long the call counts as taken. Answers {domain, call, order, domains left in the ring, tries}, or nothing. */
export const NEXT = `${BEGIN}
comeBack()
while true do
  local domain = redis.call('zpopmin', ring)[1]
  if not domain then return false end
  local first = redis.call('zpopmin', ready(domain))
  if first[1] then
    redis.call('zadd', taken, now + ARGV[1], first[1])
    enterIfReady(domain)
    local dryTries = redis.call('hget', tries, domain) or '0'
    return {domain, first[1], first[2], redis.call('zcard', ring), dryTries}
  end
end`;

/** ARGV: domain, call, order, milliseconds. */
export const DEFER = `${BEGIN}
redis.call('zrem', taken, ARGV[2])
redis.call('zadd', later, now + ARGV[4], ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. ARGV[3])`;

/** ARGV: domain, call, order, milliseconds. The call keeps its place. */
export const SUSPEND_FULL = `${BEGIN}
redis.call('zrem', taken, ARGV[2])
redis.call('zadd', ready(ARGV[1]), ARGV[3], ARGV[2])
redis.call('zrem', ring, ARGV[1])
redis.call('zadd', full, now + ARGV[4], ARGV[1])`;

/**
 * ARGV: domain, call, first pause, longest pause, longest for this call, pause for each domain that waits. The call goes
 * behind the others of its domain. Answers the pause.
 */
export const SUSPEND_DRY = `${BEGIN}
redis.call('zrem', taken, ARGV[2])
redis.call('zadd', ready(ARGV[1]), now, ARGV[2])
redis.call('zrem', ring, ARGV[1])
local failed = redis.call('hincrby', tries, ARGV[1], 1)
local pause = math.min(ARGV[3] * 2 ^ math.min(failed - 1, 10), ARGV[4])
pause = math.max(pause, redis.call('zcard', dry) * ARGV[6])
pause = math.floor(math.max(1, math.min(pause, tonumber(ARGV[5]))))
redis.call('zadd', dry, now + pause, ARGV[1])
return pause`;

/** ARGV: domain, and a call that is over, or ''. Answers 1 where the domain has begun to take turns again. */
export const RESUME_FULL = `${BEGIN}
if ARGV[2] ~= '' then redis.call('zrem', ready(ARGV[1]), ARGV[2]) end
redis.call('zrem', full, ARGV[1])
return enterIfReady(ARGV[1])`;

/** The domain that has waited longest. Answers 1 where there was one. */
export const RESUME_DRY = `${BEGIN}
while true do
  local domain = redis.call('zpopmin', dry)[1]
  if not domain then return 0 end
  if enterIfReady(domain) == 1 then return 1 end
end`;

/** ARGV: domain, call and order of each that waits in Postgres. Answers how many domains take turns. */
export const RESTORE = `${BEGIN}
redis.call('zremrangebyscore', taken, '-inf', now)
comeBack()
for i = 1, #ARGV, 3 do
  local domain, call, order = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local isTaken = redis.call('zscore', taken, call)
  if not isTaken and not redis.call('zscore', later, domain .. ' ' .. call .. ' ' .. order) then
    redis.call('zadd', ready(domain), 'nx', order, call)
    enter(domain)
  end
end
return redis.call('zcard', ring)`;
