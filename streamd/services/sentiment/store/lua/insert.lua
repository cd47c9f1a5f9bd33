-- Insert the items whose ids are not known, and the key; nothing if the key is known.
-- ARGV: now ('' for the server's time), time for which ids and keys are kept, maximum number of items and keys
-- ('' to check no limit), of tickers, key ('' for none), fingerprint; then of each item: id, ticker, number of
-- the sentiment, timestamp.
-- Returns {'ok', number of new items, their indices, the timestamp of each id, now}, {'conflict'}, {'items'},
-- or {'ticker', index of the item whose ticker is over the limit}.
local now = clock(ARGV[1])
local since = now - tonumber(ARGV[2])
local FIRST = 7
local count = (#ARGV - FIRST + 1) / 4
local accepted, fingerprint = false, false
if ARGV[5] ~= '' then
  accepted, fingerprint = find_key(ARGV[5], since)
  if accepted and fingerprint ~= ARGV[6] then return { 'conflict' } end
end
if not accepted and ARGV[3] ~= '' then
  expire(now, 1000)
  if redis.call('HLEN', key('known')) + redis.call('HLEN', key('keys')) + count > tonumber(ARGV[3]) then
    return { 'items' }
  end
  local tickers, fresh = redis.call('HLEN', key('tickers')), {}
  for index = 0, count - 1 do
    local ticker = ARGV[FIRST + 4 * index + 1]
    if not fresh[ticker] and redis.call('HEXISTS', key('tickers'), ticker) == 0 then
      fresh[ticker] = true
      tickers = tickers + 1
      if tickers > tonumber(ARGV[4]) then return { 'ticker', index } end
    end
  end
end

local new, timestamps = {}, {}
local received = struct.pack('>I6', now)
for index = 0, count - 1 do
  local at = FIRST + 4 * index
  local id, ticker, sentiment, timestamp = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  local known = redis.call('HGET', key('known'), id)
  local known_received, known_timestamp
  if known then known_received, known_timestamp = struct.unpack('>I6I6', known) end
  if known and known_received > since then
    timestamps[#timestamps + 1] = known_timestamp
  else
    timestamps[#timestamps + 1] = timestamp
    if not accepted then  -- otherwise the request is a retry, and this id has expired since
      redis.call('HSET', key('known'), id, received .. struct.pack('>I6', timestamp))
      redis.call('RPUSH', key('received'), received .. 'i' .. id)
      new[#new + 1] = index
      if timestamp > now - WINDOW
        and redis.call('ZADD', key('window'), show(timestamp), sentiment .. ticker .. '\0' .. id) == 1 then
        redis.call('HINCRBY', key('counts'), sentiment, 1)
        redis.call('HINCRBY', key('counts'), 'added', 1)
        redis.call('HINCRBY', key('tickers'), ticker, 1)
      end
    end
  end
end
if not accepted then
  accepted = #new
  if ARGV[5] ~= '' then
    redis.call('HSET', key('keys'), ARGV[5], received .. struct.pack('>I4', accepted) .. ARGV[6])
    redis.call('RPUSH', key('received'), received .. 'k' .. ARGV[5])
  end
end
return { 'ok', accepted, new, timestamps, now }
