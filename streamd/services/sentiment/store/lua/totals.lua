-- Remove items that have left, and return the totals.
-- ARGV: now ('' for the server's time).
-- Returns {0, number ever counted, number in the window, in the last hour, {number of each sentiment}, {ticker,
-- number, ...}}, or {1} if more items have left.
local now = clock(ARGV[1])
if expire(now, 1000) == 1 then return { 1 } end
return {
  0,
  tonumber(redis.call('HGET', key('counts'), 'added') or '0'),
  redis.call('ZCARD', key('window')),
  redis.call('ZCOUNT', key('window'), '(' .. show(now - HOUR), '+inf'),
  redis.call('HMGET', key('counts'), '0', '1', '2'),
  redis.call('HGETALL', key('tickers')),
}
