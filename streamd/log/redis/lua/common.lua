-- Functions of all scripts of the log. KEYS[1] is the prefix of its keys, with their hash tag.
--
-- An id is a pair of numbers (ms, sequence). A topic's record is a packed string:
--   events, bytes: alive; oldest: time of the oldest alive event (ms), or an earlier one
--   floor: events up to it are dropped; newest: the last event, dropped or not
local prefix = KEYS[1]
local META = prefix .. ':meta'
local RECORD = '>I4I6I6I6I3I6I3'

local function key(name) return prefix .. ':' .. name end

local function parse(id)
  local ms, sequence = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(sequence)
end

local function show(ms, sequence) return string.format('%.0f-%.0f', ms, sequence) end

local function less(ms, sequence, other_ms, other_sequence)
  return ms < other_ms or (ms == other_ms and sequence < other_sequence)
end

local function clock(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The places of a topic: the key and field of its record, the key of its index, and its tag there.
local places = {}
local function place(topic)
  local found = places[topic]
  if not found then
    local digest = redis.sha1hex(topic)
    found = {
      number = tonumber(string.sub(digest, 1, 4), 16),
      records = key('topics:' .. string.sub(digest, 1, 4)),
      index = key('index:' .. string.sub(digest, 1, 3)),
      tag = string.sub(digest, 5, 12),
    }
    places[topic] = found
  end
  return found
end

local records = {}
local function record(topic)
  local found = records[topic]
  if found == nil then
    local packed = redis.call('HGET', place(topic).records, topic)
    if packed then
      local events, bytes, oldest, floor_ms, floor_sequence, ms, sequence = struct.unpack(RECORD, packed)
      found = {
        events = events, bytes = bytes, oldest = oldest, floor_ms = floor_ms, floor_sequence = floor_sequence,
        ms = ms, sequence = sequence,
      }
    else
      found = false
    end
    records[topic] = found
  end
  return found
end

local function store(topic, found)
  records[topic] = found
  redis.call('HSET', place(topic).records, topic, struct.pack(RECORD, found.events, found.bytes, found.oldest,
    found.floor_ms, found.floor_sequence, found.ms, found.sequence))
end

local function forget(topic)
  records[topic] = false
  redis.call('HDEL', place(topic).records, topic)
end

-- The payload streams, from the oldest events to the newest; an entry has events of one append, as pairs:
-- '@' with the time and the last id of the append, then of each event its head (size, topics) and body. Its
-- id is that of its last event.
-- The pair of a dropped event may be empty.
local SEGMENTS = { key('log:0'), key('log:1'), key('log:2') }

local function entry_events(entry)
  local fields = entry[2]
  local ms, sequence = parse(entry[1])
  local count = #fields / 2 - 1
  return fields, ms, sequence - count, count
end

local function unpack_head(head)
  local values = cmsgpack.unpack(head)
  return table.remove(values, 1), values
end

local function is_alive(topics, ms, sequence)
  for _, topic in ipairs(topics) do
    local found = record(topic)
    if not found or not less(found.floor_ms, found.floor_sequence, ms, sequence) then return false end
  end
  return true
end

-- Returns the entry that has, or had, an event; false if it is no longer stored.
local last_found = false
local function find_entry(ms, sequence)
  if last_found then
    local _, last_ms, before, count = entry_events(last_found)
    if last_ms == ms and before < sequence and sequence <= before + count then return last_found end
  end
  local id = show(ms, sequence)
  for index = 3, 1, -1 do
    local found = redis.call('XRANGE', SEGMENTS[index], id, '+', 'COUNT', 1)[1]
    if found then
      local _, last_ms, before = entry_events(found)
      if last_ms == ms and before < sequence then
        last_found = found
        return found
      end
    end
  end
  return false
end

-- Returns head, body, time and the last id of the append of an event; false if it is no longer stored.
local function find_event(ms, sequence)
  local entry = find_entry(ms, sequence)
  if not entry then return false end
  local fields, _, before = entry_events(entry)
  local at = 2 * (sequence - before) + 1
  if fields[at] == '' then return false end
  local time, last = string.match(fields[2], '^(%d+) (.+)$')
  return fields[at], fields[at + 1], tonumber(time), last
end

local function head_position()
  local head = redis.call('HGET', META, 'head')
  if head then return parse(head) end
  return 0, 0
end

-- The topics of which events were dropped since a count of drops: {count, folded, topic, id, ...}.
local function dropped_since(count)
  local values = redis.call('HMGET', META, 'drops', 'folded')
  local found = { values[1] or '0', values[2] or '' }
  if tonumber(found[1]) > count then
    local names = redis.call('ZRANGE', key('dropped:order'), string.format('(%.0f', count), '+inf', 'BYSCORE')
    for first = 1, #names, 1000 do
      local some = {}
      for index = first, math.min(first + 999, #names) do some[#some + 1] = names[index] end
      local ids = redis.call('HMGET', key('dropped'), unpack(some))
      for index, name in ipairs(some) do
        found[#found + 1] = name
        found[#found + 1] = ids[index] or ''
      end
    end
  end
  return found
end
