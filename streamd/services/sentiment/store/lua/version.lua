-- Remove items that have left, and return the version of the totals.
-- ARGV: now ('' for the server's time).
-- Returns {1 if more items have left, or 0; number ever counted; number in the window, in the last hour}.
local now = clock(ARGV[1])
return {
  expire(now, 1000),
  tonumber(redis.call('HGET', key('counts'), 'added') or '0'),
  redis.call('ZCARD', key('window')),
  redis.call('ZCOUNT', key('window'), '(' .. show(now - HOUR), '+inf'),
}
