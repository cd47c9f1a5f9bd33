-- End the unfinished order of a workflow. ARGV: workflow, status, stage, error, time.
local found = redis.call('HGET', key('workflows'), ARGV[1])
if not found then return false end
local at = order(found)
local created_at = redis.call('HGET', at, 'created_at')
local ended_at = ARGV[5] < created_at and created_at or ARGV[5]
redis.call('HSET', at, 'status', ARGV[2], 'stage', ARGV[3], 'error', ARGV[4], 'ended_at', ended_at)
if redis.call('HEXISTS', at, 'saved_at') == 1 then redis.call('HDEL', at, 'document') end
redis.call('ZREM', key('open'), found)
redis.call('HDEL', key('workflows'), ARGV[1])
return false
