-- Delete some expired ids and keys. ARGV: now ('' for the server's time), time for which they are kept, most to
-- look at. Returns 1 if there may be more.
local until_at = clock(ARGV[1]) - tonumber(ARGV[2])
local limit = tonumber(ARGV[3])
local entries = redis.call('LRANGE', key('received'), 0, limit - 1)
local count = 0
for _, entry in ipairs(entries) do
  local received = struct.unpack('>I6', entry)
  if received > until_at then break end
  count = count + 1
  local hash = string.sub(entry, 7, 7) == 'i' and key('known') or key('keys')
  local name = string.sub(entry, 8)
  local value = redis.call('HGET', hash, name)
  if value and struct.unpack('>I6', value) == received then redis.call('HDEL', hash, name) end
end
if count > 0 then redis.call('LTRIM', key('received'), count, -1) end
return count == limit and 1 or 0
