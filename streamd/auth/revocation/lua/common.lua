-- Functions of all scripts of revocations. KEYS[1] is the prefix of all keys, with their hash tag. All times are
-- milliseconds since 1970.
--
-- revoked:token      hash: id of a token, "moment end"
-- revoked:user       the same of users
-- revoked:end        sorted set by end: kind:name
-- revoked:order      sorted set by the number of the last change: kind:name
-- revoked:changes    number of changes
local function key(name) return KEYS[1] .. ':revoked:' .. name end

local function split(member) return string.match(member, '^(%a+):(.*)$') end

-- Delete some revocations that have expired; returns their number.
local function drop(expired_until, limit)
  local members = redis.call('ZRANGE', key('end'), '-inf', expired_until, 'BYSCORE', 'LIMIT', 0, limit)
  for _, member in ipairs(members) do
    local kind, name = split(member)
    redis.call('HDEL', key(kind), name)
    redis.call('ZREM', key('end'), member)
    redis.call('ZREM', key('order'), member)
  end
  return #members
end
