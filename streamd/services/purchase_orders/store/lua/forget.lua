-- Delete an order whose task could not be created, unless another request has its receipt. ARGV: order.
local found = redis.call('HMGET', order(ARGV[1]), 'workflow_id', 'key', 'returned')
if not found[1] then return false end
if found[3] then
  redis.call('HDEL', order(ARGV[1]), 'starting_until')
  return false
end
if found[2] then redis.call('HDEL', key('keys'), found[2]) end
redis.call('HDEL', key('workflows'), found[1])
redis.call('ZREM', key('open'), ARGV[1])
redis.call('HINCRBY', key('meta'), 'orders', -1)
redis.call('DEL', order(ARGV[1]), key('images:' .. ARGV[1]), key('stages:' .. ARGV[1]))
return false
