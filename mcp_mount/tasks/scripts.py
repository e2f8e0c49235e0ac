"""What is one step in the store: scripts in Lua, which Redis runs without anything in between.

A task is a hash, which names the sets of the callers that count it. Two sorted sets hold the names
of tasks by the time when they are forgotten: those of each caller, and all. A hash holds the bytes
of the requests that are kept, by the names of their tasks, and of all of them.
"""

from typing import Final

_FORGET: Final = """
local function forget(sizes, name)
  local size = redis.call('HGET', sizes, name)
  if not size then return end
  redis.call('HDEL', sizes, name)
  redis.call('HINCRBY', sizes, 'all', '-' .. size)
end
"""
"""Count the request of a task no more."""

_ENDED_OF_MOST: Final = """
local function ended_of_most(prefix, all, least)
  local found, found_callers
  local counts = {}
  for _, each in ipairs(redis.call('ZRANGE', all, 0, 999)) do
    local hash = prefix .. each
    if redis.call('HGET', hash, 'status') ~= 'working' then
      local callers = redis.call('HGET', hash, 'callers') or ''
      if not counts[callers] then
        counts[callers] = 0
        for key in string.gmatch(callers, '[^\\n]+') do
          counts[callers] = math.max(counts[callers], redis.call('ZCARD', key))
        end
      end
      if counts[callers] >= least then
        found, found_callers, least = each, callers, counts[callers] + 1
      end
    end
  end
  return found, found_callers
end
"""
"""Return the oldest task that has ended of whoever has most, and the sets that count it.

Who has fewer than `least`, which is what the one who asks has, keeps his. A thousand are looked at,
those that are forgotten first, which takes some milliseconds.
"""

ADD: Final = (
    _FORGET
    + _ENDED_OF_MOST
    + """
local hash, all, sizes = KEYS[1], KEYS[2], KEYS[3]
local callers = {}
for place = 4, #KEYS do callers[place - 3] = KEYS[place] end
local prefix, name, now, seconds = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local most_mine, most_all = tonumber(ARGV[5]), tonumber(ARGV[6])
local bytes = tonumber(ARGV[7])
local most_bytes_mine, most_bytes_all = tonumber(ARGV[8]), tonumber(ARGV[9])
for _, each in ipairs(redis.call('ZRANGEBYSCORE', all, '-inf', now)) do
  forget(sizes, each)
end
redis.call('ZREMRANGEBYSCORE', all, '-inf', now)
local making_room, most_of_mine, lane = {}, 0, nil
for _, mine in ipairs(callers) do
  redis.call('ZREMRANGEBYSCORE', mine, '-inf', now)
  local bytes_mine, ended = bytes, nil
  for _, each in ipairs(redis.call('ZRANGE', mine, 0, -1)) do
    local status = redis.call('HGET', prefix .. each, 'status')
    -- One that was not queued in time, or that the store has evicted.
    if not status then forget(sizes, each) end
    bytes_mine = bytes_mine + tonumber(redis.call('HGET', sizes, each) or 0)
    if not ended and status ~= 'working' then ended = each end
    lane = lane or redis.call('HGET', prefix .. each, 'lane')
  end
  if bytes_mine > most_bytes_mine then return 'bytes of caller' end
  local count_mine = redis.call('ZCARD', mine)
  most_of_mine = math.max(most_of_mine, count_mine)
  if count_mine >= most_mine then
    if not ended then return 'caller' end
    making_room[#making_room + 1] = ended
  end
end
local bytes_all = tonumber(redis.call('HGET', sizes, 'all') or 0) + bytes
if bytes_all > most_bytes_all then return 'bytes of all' end
if #making_room == 0 and redis.call('ZCARD', all) >= most_all then
  local ended, theirs = ended_of_most(prefix, all, most_of_mine)
  if not ended then return 'all' end
  for each in string.gmatch(theirs, '[^\\n]+') do redis.call('ZREM', each, ended) end
  making_room[1] = ended
end
for _, ended in ipairs(making_room) do
  -- Of one that is gone, nobody has said that it has ended.
  forget(sizes, ended)
  redis.call('DEL', prefix .. ended)
  redis.call('ZREM', all, ended)
  -- Of others that count it too, it is taken for one that has ended.
  for _, mine in ipairs(callers) do redis.call('ZREM', mine, ended) end
end
for _, mine in ipairs(callers) do redis.call('ZADD', mine, now + seconds, name) end
redis.call('ZADD', all, now + seconds, name)
redis.call('HSET', sizes, name, bytes)
redis.call('HINCRBY', sizes, 'all', bytes)
redis.call('HSET', hash, 'status', 'working', 'owner', ARGV[10])
redis.call('HSET', hash, 'about', ARGV[11], 'request', ARGV[12])
redis.call('HSET', hash, 'callers', table.concat(callers, '\\n'))
lane = lane or name
redis.call('HSET', hash, 'lane', lane)
redis.call('EXPIRE', hash, tonumber(ARGV[13]))
-- What counts a task with more time is not forgotten with one that has less.
local function keep(key, set)
  local last = redis.call('ZRANGE', set, -1, -1, 'WITHSCORES')
  redis.call('EXPIRE', key, math.ceil(tonumber(last[2]) - now))
end
for _, mine in ipairs(callers) do keep(mine, mine) end
keep(all, all)
keep(sizes, all)
return 'lane ' .. lane
"""
)
"""Add a task; make room for it where a caller has too many or all have, or say what is too much.

The answer is its lane, which is that of the other tasks of a caller that counts it: few of a lane
run at once, and who shows another key beside a real one gets no other lane.

It is gone soon, and then gives way to others, unless it is queued.
"""

FIND: Final = """
local is_waiting = redis.call('HEXISTS', KEYS[1], 'request')
local found = {math.max(is_waiting, redis.call('EXISTS', KEYS[2]))}
for place, field in ipairs(ARGV) do found[place + 1] = redis.call('HGET', KEYS[1], field) end
return found
"""
"""Return whether a task waits for a worker or has one that is alive, and what is asked of it.

Its request, which may be large, is not.
"""

CLAIM: Final = (
    _FORGET
    + """
local hash, alive, sizes = KEYS[1], KEYS[2], KEYS[3]
if redis.call('HGET', hash, 'status') ~= 'working' then return false end
local request = redis.call('HGET', hash, 'request')
if not request then return false end
redis.call('HDEL', hash, 'request')
forget(sizes, ARGV[1])
redis.call('SET', alive, '1', 'EX', tonumber(ARGV[2]))
return request
"""
)
"""Take the request of a task, which nobody gets a second time; from now on its worker is alive."""

RENEW: Final = """
if redis.call('HGET', KEYS[1], 'status') ~= 'working' then return 0 end
redis.call('SET', KEYS[2], '1', 'EX', tonumber(ARGV[1]))
return 1
"""
"""Say that the worker of a task is alive; 0 where the task has ended, by its caller's wish."""

TELL: Final = """
if redis.call('HGET', KEYS[1], 'status') ~= 'working' then return 0 end
redis.call('HSET', KEYS[1], 'message', ARGV[1], 'updated', ARGV[2])
return 1
"""
"""Write how far a task has come, unless it has ended."""

END: Final = (
    _FORGET
    + """
if redis.call('HGET', KEYS[1], 'status') ~= 'working' then return 0 end
redis.call('HDEL', KEYS[1], 'request', 'message')
forget(KEYS[3], ARGV[1])
redis.call('HSET', KEYS[1], 'status', ARGV[2], 'outcome', ARGV[3], 'updated', ARGV[4])
redis.call('DEL', KEYS[2])
return 1
"""
)
"""End a task, unless it has ended; its request is forgotten."""
