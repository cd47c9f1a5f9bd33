-- Functions of all scripts of tickets. KEYS[1] is the prefix of all keys, with their hash tag. All times are
-- milliseconds since 1970.
--
-- ticket:DIGEST         string, expires: (end, length of the owner), owner, record
-- tickets               sorted set by end, expires: digests of the tickets that are not redeemed
-- tickets:OWNER         the same of an owner
local function key(name) return KEYS[1] .. ':' .. name end

local function clock(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function show(number) return string.format('%.0f', number) end
