-- Add revocations. ARGV: newest end of those that have expired, maximum number of each kind; then of each: kind,
-- name, moment, end.
-- Returns 'ok', or a kind whose maximum number is reached: those before it are added.
local expired_until, maximum = ARGV[1], tonumber(ARGV[2])
drop(expired_until, 500)

local function later(one, other)
  if other and tonumber(other) > tonumber(one) then return other end
  return one
end

for first = 3, #ARGV, 4 do
  local kind, name, moment, ends = ARGV[first], ARGV[first + 1], ARGV[first + 2], ARGV[first + 3]
  if tonumber(ends) > tonumber(expired_until) then
    local known = redis.call('HGET', key(kind), name)
    if not known and redis.call('HLEN', key(kind)) >= maximum then return kind end
    local known_moment, known_end
    if known then known_moment, known_end = string.match(known, '^(%d+) (%d+)$') end
    moment, ends = later(moment, known_moment), later(ends, known_end)
    if moment ~= known_moment or ends ~= known_end then
      local member = kind .. ':' .. name
      redis.call('HSET', key(kind), name, moment .. ' ' .. ends)
      redis.call('ZADD', key('end'), ends, member)
      redis.call('ZADD', key('order'), redis.call('INCR', key('changes')), member)
    end
  end
end
return 'ok'
