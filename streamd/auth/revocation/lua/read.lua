-- Read revocations in the order of their last changes. ARGV: number of the change after which to begin, maximum
-- number of revocations.
-- Returns {number of changes, then of each revocation: number of its last change, kind, name, value}.
local reply = { tonumber(redis.call('GET', key('changes')) or '0') }
local found = redis.call(
  'ZRANGE', key('order'), '(' .. ARGV[1], '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[2], 'WITHSCORES')
for index = 1, #found, 2 do
  local kind, name = split(found[index])
  local size = #reply
  reply[size + 1] = tonumber(found[index + 1])
  reply[size + 2] = kind
  reply[size + 3] = name
  reply[size + 4] = redis.call('HGET', key(kind), name) or ''
end
return reply
