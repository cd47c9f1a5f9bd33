-- Store a ticket. ARGV: now ('' for the server's time), lifetime, digest, owner ('' for none), record, maximum
-- number of tickets of an owner, in all.
-- Returns 'ok', or 'owner' or 'all' if that maximum number is reached.
local now, lifetime = clock(ARGV[1]), tonumber(ARGV[2])
local digest, owner, record = ARGV[3], ARGV[4], ARGV[5]
local ends = now + lifetime
local all, own = key('tickets'), key('tickets:' .. owner)

-- A bounded number of them takes a bounded time, and one is enough to make room.
local expired = redis.call('ZRANGE', all, '-inf', show(now), 'BYSCORE', 'LIMIT', 0, 1000)
if #expired > 0 then redis.call('ZREM', all, unpack(expired)) end

if owner ~= '' then
  redis.call('ZREMRANGEBYSCORE', own, '-inf', show(now))
  if redis.call('ZCARD', own) >= tonumber(ARGV[6]) then return 'owner' end
end
if redis.call('ZCARD', all) >= tonumber(ARGV[7]) then return 'all' end

redis.call('SET', key('ticket:' .. digest), struct.pack('>I6I1', ends, #owner) .. owner .. record, 'PX', lifetime)
for _, set in ipairs(owner ~= '' and { all, own } or { all }) do
  redis.call('ZADD', set, show(ends), digest)
  if redis.call('PTTL', set) < lifetime then redis.call('PEXPIRE', set, lifetime) end
end
return 'ok'
