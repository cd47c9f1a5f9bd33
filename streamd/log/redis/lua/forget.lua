-- Forget idempotency keys that are too old or too many, and fold the oldest records of what was dropped.
-- ARGV: how long keys are known (ms), time (ms; '' for the server's), most keys, most records of drops, most to
-- forget now. Returns the number forgotten.
local since = clock(ARGV[2]) - tonumber(ARGV[1])
local surplus = redis.call('HLEN', key('keys')) - tonumber(ARGV[3])
local forgotten, last = 0, false
for _, entry in ipairs(redis.call('XRANGE', key('keys:order'), '-', '+', 'COUNT', ARGV[5])) do
  local name = entry[2][2]
  local value = redis.call('HGET', key('keys'), name)
  if value then
    local ms, sequence, at = struct.unpack('>I6I3I6', value)
    if show(ms, sequence) == entry[1] then
      if at >= since and surplus <= 0 then break end
      redis.call('HDEL', key('keys'), name)
      surplus = surplus - 1
    end
  end
  last = entry[1]
  forgotten = forgotten + 1
end
if last then
  local ms, sequence = parse(last)
  redis.call('XTRIM', key('keys:order'), 'MINID', show(ms, sequence + 1))
end
local records = redis.call('ZCARD', key('dropped:order')) - tonumber(ARGV[4])
if records > 0 then
  local ms, sequence = parse(redis.call('HGET', META, 'folded') or '0-0')
  local names = redis.call('ZRANGE', key('dropped:order'), 0, math.min(records, tonumber(ARGV[5])) - 1)
  for _, name in ipairs(names) do
    local id_ms, id_sequence = parse(redis.call('HGET', key('dropped'), name))
    if less(ms, sequence, id_ms, id_sequence) then ms, sequence = id_ms, id_sequence end
    redis.call('HDEL', key('dropped'), name)
    redis.call('ZREM', key('dropped:order'), name)
  end
  redis.call('HSET', META, 'folded', show(ms, sequence))
  redis.call('HINCRBY', META, 'drops', 1)
  forgotten = forgotten + #names
end
return forgotten
