-- Read an order with its images and stages. ARGV: order, merchant, fields.
-- Returns {fields, images, stages and their outcomes}, or false if the merchant has no such order.
if redis.call('HGET', order(ARGV[1]), 'merchant_id') ~= ARGV[2] then return false end
return {
  redis.call('HMGET', order(ARGV[1]), unpack(ARGV, 3)),
  redis.call('HVALS', key('images:' .. ARGV[1])),
  redis.call('HGETALL', key('stages:' .. ARGV[1])),
}
