-- Count an order of a merchant. ARGV: merchant, order.
local created_at = redis.call('HGET', order(ARGV[2]), 'created_at')
if created_at then redis.call('HSETNX', key('first'), ARGV[1], created_at) end
return redis.call('HINCRBY', key('merchants'), ARGV[1], 1)
