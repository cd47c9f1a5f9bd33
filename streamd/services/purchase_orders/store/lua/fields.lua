-- Read fields of an order. ARGV: order, fields.
return redis.call('HMGET', order(ARGV[1]), unpack(ARGV, 2))
