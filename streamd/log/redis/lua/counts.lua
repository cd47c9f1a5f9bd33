-- Return the records of some buckets. ARGV: their numbers.
-- Returns {topic, events, bytes, oldest, ...}, of topics that have events.
local result = {}
for _, number in ipairs(ARGV) do
  local values = redis.call('HGETALL', key(string.format('topics:%04x', tonumber(number))))
  for index = 1, #values, 2 do
    local events, bytes, oldest = struct.unpack(RECORD, values[index + 1])
    if events > 0 then
      result[#result + 1] = values[index]
      result[#result + 1] = string.format('%.0f', events)
      result[#result + 1] = string.format('%.0f', bytes)
      result[#result + 1] = string.format('%.0f', oldest)
    end
  end
end
return result
