-- Mark an order as saved. ARGV: order, time.
local at = order(ARGV[1])
if redis.call('EXISTS', at) == 0 or redis.call('HEXISTS', at, 'ended_at') == 1 then return false end
redis.call('HSET', at, 'status', 'saved')
redis.call('HSETNX', at, 'saved_at', ARGV[2])
return false
