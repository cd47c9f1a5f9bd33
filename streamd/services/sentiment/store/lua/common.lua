-- Functions of all scripts of items. KEYS[1] is the prefix of all keys, with their hash tag. All times are
-- milliseconds since 1970.
--
-- sentiment:known      hash: item id, (time of receipt, timestamp)
-- sentiment:keys       hash: idempotency key, (time of receipt, number of new items) and fingerprint
-- sentiment:received   list: (time of receipt), 'i' or 'k', item id or key; in the order of their receipt
-- sentiment:window     sorted set by timestamp: number of the sentiment, ticker, NUL, item id
-- sentiment:tickers    hash: ticker, number of its items in the window
-- sentiment:counts     hash: number of the sentiment, number of its items in the window; added: all items that
--                      were ever counted
local WINDOW, HOUR = 86400000, 3600000

local function key(name) return KEYS[1] .. ':sentiment:' .. name end

local function clock(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function show(number) return string.format('%.0f', number) end

-- Remove some items that have left the window; returns 1 if there may be more.
local function expire(now, limit)
  local left = redis.call('ZRANGE', key('window'), '-inf', show(now - WINDOW), 'BYSCORE', 'LIMIT', 0, limit)
  if #left == 0 then return 0 end
  local sentiments, tickers = {}, {}
  for _, member in ipairs(left) do
    local sentiment, ticker = string.match(member, '^(%d)([^%z]*)%z')
    sentiments[sentiment] = (sentiments[sentiment] or 0) + 1
    tickers[ticker] = (tickers[ticker] or 0) + 1
  end
  for sentiment, count in pairs(sentiments) do redis.call('HINCRBY', key('counts'), sentiment, -count) end
  for ticker, count in pairs(tickers) do
    if redis.call('HINCRBY', key('tickers'), ticker, -count) <= 0 then redis.call('HDEL', key('tickers'), ticker) end
  end
  redis.call('ZREM', key('window'), unpack(left))
  return #left == limit and 1 or 0
end

-- Returns the number of new items and the fingerprint of a request; false if its key is not known.
local function find_key(text, since)
  local value = redis.call('HGET', key('keys'), text)
  if not value then return false end
  local received, accepted = struct.unpack('>I6I4', value)
  if received <= since then return false end
  return accepted, string.sub(value, 11)
end
