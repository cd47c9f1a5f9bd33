-- Set fields of an order, if it is stored. ARGV: order, '1' to leave an ended order as it is, fields and values.
local at = order(ARGV[1])
if redis.call('EXISTS', at) == 0 then return false end
if ARGV[2] == '1' and redis.call('HEXISTS', at, 'ended_at') == 1 then return false end
redis.call('HSET', at, unpack(ARGV, 3))
return false
