-- Returns {number of rows in the outbox, then kind and status, with a zero byte between them, and number of tasks}.
local counts = redis.call('HGETALL', key('tasks:counts'))
table.insert(counts, 1, redis.call('ZCARD', OUTBOX) + redis.call('ZCARD', KEPT))
return counts
