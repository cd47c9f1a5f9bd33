-- Returns the ids of the tasks that are ending, the oldest first.
return redis.call('ZRANGE', KEPT, 0, -1)
