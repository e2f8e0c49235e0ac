"""What is one step in the store: scripts in Lua, which Redis runs without anything in between.

A task is a hash. Two sorted sets hold the names of tasks by the time when they are forgotten: those
of one caller, and all.
"""

from typing import Final

ADD: Final = """
local hash, mine, all = KEYS[1], KEYS[2], KEYS[3]
local prefix, name, now, seconds = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local most_mine, most_all = tonumber(ARGV[5]), tonumber(ARGV[6])
redis.call('ZREMRANGEBYSCORE', mine, '-inf', now)
redis.call('ZREMRANGEBYSCORE', all, '-inf', now)
if redis.call('ZCARD', mine) >= most_mine then
  local ended = nil
  for _, each in ipairs(redis.call('ZRANGE', mine, 0, -1)) do
    if redis.call('HGET', prefix .. each, 'status') ~= 'working' then
      ended = each
      break
    end
  end
  if not ended then return 'caller' end
  redis.call('DEL', prefix .. ended)
  redis.call('ZREM', mine, ended)
  redis.call('ZREM', all, ended)
end
if redis.call('ZCARD', all) >= most_all then return 'all' end
redis.call('ZADD', mine, now + seconds, name)
redis.call('ZADD', all, now + seconds, name)
redis.call('HSET', hash, 'status', 'working', 'owner', ARGV[7])
redis.call('HSET', hash, 'about', ARGV[8], 'request', ARGV[9])
redis.call('EXPIRE', hash, seconds)
redis.call('EXPIRE', mine, seconds)
redis.call('EXPIRE', all, seconds)
return 'added'
"""
"""Add a task; make room for it where its caller has too many, or say whose tasks are too many."""

CLAIM: Final = """
local hash, alive = KEYS[1], KEYS[2]
if redis.call('HGET', hash, 'status') ~= 'working' then return false end
local request = redis.call('HGET', hash, 'request')
if not request then return false end
redis.call('HDEL', hash, 'request')
redis.call('SET', alive, '1', 'EX', tonumber(ARGV[1]))
return request
"""
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

END: Final = """
if redis.call('HGET', KEYS[1], 'status') ~= 'working' then return 0 end
redis.call('HDEL', KEYS[1], 'request', 'message')
redis.call('HSET', KEYS[1], 'status', ARGV[1], 'outcome', ARGV[2], 'updated', ARGV[3])
redis.call('DEL', KEYS[2])
return 1
"""
"""End a task, unless it has ended; its request is forgotten."""
