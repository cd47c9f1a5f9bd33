-- Read the events of some topics after a position.
-- ARGV: after, until (inclusive), maximum number of events, of bytes, the caller's count of drops, topics.
-- Returns {cursor ('' for until), dropped_since, id, head, body, ...}.
local SCANNED_MAX = 2048  -- index entries of one bucket
local after_ms, after_sequence = parse(ARGV[1])
local until_ms, until_sequence = parse(ARGV[2])
local max_events, max_bytes = tonumber(ARGV[3]), tonumber(ARGV[4])
local result = { '', dropped_since(tonumber(ARGV[5])) }

local buckets = {}
for position = 6, #ARGV do
  local found = record(ARGV[position])
  if found and found.events > 0 then
    local at = place(ARGV[position])
    local bucket = buckets[at.index]
    if not bucket then
      bucket = { tags = {}, ms = until_ms, sequence = until_sequence }
      buckets[at.index] = bucket
    end
    bucket.tags[at.tag] = true
    if less(found.floor_ms, found.floor_sequence, bucket.ms, bucket.sequence) then
      bucket.ms, bucket.sequence = found.floor_ms, found.floor_sequence
    end
  end
end

local number = 0
for _ in pairs(buckets) do number = number + 1 end
-- With many topics, a few events of each fill the page.
local wanted = math.min(max_events, math.max(4, math.ceil(2 * max_events / math.max(number, 1))))
local SCANNED = math.max(16, math.min(256, 2 * wanted))
local ROUNDS = math.floor(SCANNED_MAX / SCANNED)

local limit_ms, limit_sequence, is_limited = until_ms, until_sequence, false
local found = {}
for index, bucket in pairs(buckets) do
  local ms, sequence = after_ms, after_sequence
  if less(ms, sequence, bucket.ms, bucket.sequence) then ms, sequence = bucket.ms, bucket.sequence end
  local taken, rounds = 0, 0
  while true do
    local entries = redis.call('XRANGE', index, '(' .. show(ms, sequence), show(limit_ms, limit_sequence),
      'COUNT', SCANNED)
    for _, entry in ipairs(entries) do
      ms, sequence = parse(entry[1])
      local tags = entry[2][2]
      for first = 1, #tags, 8 do
        if bucket.tags[string.sub(tags, first, first + 7)] then
          found[#found + 1] = { ms, sequence }
          taken = taken + 1
          break
        end
      end
    end
    rounds = rounds + 1
    if #entries < SCANNED then break end
    if taken >= wanted or rounds == ROUNDS then
      limit_ms, limit_sequence, is_limited = ms, sequence, true
      break
    end
  end
end
table.sort(found, function(one, other) return less(one[1], one[2], other[1], other[2]) end)

-- The page ends before the event that does not fit: where there is none, what was dropped behind it is no gap.
local events, bytes = 0, 0
local last_ms, last_sequence = -1, -1
for _, id in ipairs(found) do
  local ms, sequence = id[1], id[2]
  if less(limit_ms, limit_sequence, ms, sequence) then break end
  if ms ~= last_ms or sequence ~= last_sequence then
    last_ms, last_sequence = ms, sequence
    local head, body = find_event(ms, sequence)
    if head then
      local size, topics = unpack_head(head)
      if is_alive(topics, ms, sequence) then
        if events >= max_events or bytes >= max_bytes then
          result[1] = result[#result - 2]
          return result
        end
        result[#result + 1] = show(ms, sequence)
        result[#result + 1] = head
        result[#result + 1] = body
        events, bytes = events + 1, bytes + size
      end
    end
  end
end
if is_limited then result[1] = show(limit_ms, limit_sequence) end
return result
