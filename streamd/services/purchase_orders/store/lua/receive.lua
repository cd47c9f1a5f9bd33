-- Store an order, unless there is one of its idempotency key.
-- ARGV: order, merchant, workflow, format, document, time, maximum number of orders, time for the creation of
-- its task (ms), cursor, key ('' for none), fingerprint.
-- Returns false, {'full'}, {'conflict'}, or {'known', order, workflow, cursor}.
if ARGV[10] ~= '' then
  local known = redis.call('HGET', key('keys'), ARGV[10])
  if known then
    local found = redis.call('HMGET', order(known), 'fingerprint', 'workflow_id', 'cursor')
    if found[1] ~= ARGV[11] then return { 'conflict' } end
    redis.call('HSET', order(known), 'returned', '1')
    return { 'known', known, found[2], found[3] }
  end
end
if tonumber(redis.call('HGET', key('meta'), 'orders') or '0') >= tonumber(ARGV[7]) then return { 'full' } end
local time = redis.call('TIME')
local starting_until = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[8])
local row = redis.call('HINCRBY', key('meta'), 'row', 1)
redis.call('HINCRBY', key('meta'), 'orders', 1)
redis.call('HSET', order(ARGV[1]), 'merchant_id', ARGV[2], 'workflow_id', ARGV[3], 'status', 'received',
  'format', ARGV[4], 'document', ARGV[5], 'created_at', ARGV[6], 'starting_until', starting_until)
redis.call('ZADD', key('open'), row, ARGV[1])
redis.call('HSET', key('workflows'), ARGV[3], ARGV[1])
if ARGV[10] ~= '' then
  redis.call('HSET', order(ARGV[1]), 'key', ARGV[10], 'fingerprint', ARGV[11], 'cursor', ARGV[9])
  redis.call('HSET', key('keys'), ARGV[10], ARGV[1])
end
return false
