-- Read all events after a position.
-- ARGV: after, until (inclusive), maximum number of events, of bytes, the caller's count of drops.
-- Returns {cursor ('' for until), dropped_since, id, head, body, ...}.
local SCANNED = 16  -- entries at once
local DEAD_MAX = 4096  -- dropped events that are passed over
local after_ms, after_sequence = parse(ARGV[1])
local until_ms, until_sequence = parse(ARGV[2])
local max_events, max_bytes = tonumber(ARGV[3]), tonumber(ARGV[4])
local result = { '', dropped_since(tonumber(ARGV[5])) }
local considered, dead, bytes = 0, 0, 0
for _, segment in ipairs(SEGMENTS) do
  local start = '(' .. ARGV[1]
  while true do
    local entries = redis.call('XRANGE', segment, start, '+', 'COUNT', SCANNED)
    for _, entry in ipairs(entries) do
      start = '(' .. entry[1]
      local fields, ms, before, count = entry_events(entry)
      for number = 1, count do
        local sequence = before + number
        if less(until_ms, until_sequence, ms, sequence) then return result end
        if less(after_ms, after_sequence, ms, sequence) then
          local head = fields[2 * number + 1]
          local size, topics
          if head ~= '' then size, topics = unpack_head(head) end
          if not topics or not is_alive(topics, ms, sequence) then
            dead = dead + 1
          else
            considered = considered + 1
            result[#result + 1] = show(ms, sequence)
            result[#result + 1] = head
            result[#result + 1] = fields[2 * number + 2]
            bytes = bytes + size
          end
          if considered >= max_events or dead >= DEAD_MAX or bytes >= max_bytes then
            result[1] = show(ms, sequence)
            return result
          end
        end
      end
    end
    if #entries < SCANNED then break end
  end
end
return result
