-- Drop the oldest events beyond some bounds, of one topic or, if that is '', of the whole log.
-- ARGV: topic, maximum number of events, of bytes, newest time that is too old (ms), most to drop now.
-- Returns {number dropped, more to do (0 or 1), topic, events, bytes, oldest of each topic that lost events, ...}.
local topic, max_events, max_bytes, until_at = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local left = tonumber(ARGV[5])
local touched = {}
local count, bytes, emptied = 0, 0, 0
local total_events = tonumber(redis.call('HGET', META, 'events') or '0')
local total_bytes = tonumber(redis.call('HGET', META, 'bytes') or '0')

local function kill(ms, sequence, size, topics)
  count, bytes = count + 1, bytes + size
  for _, name in ipairs(topics) do
    local found = record(name)
    found.events, found.bytes = found.events - 1, found.bytes - size
    if found.events == 0 then emptied = emptied + 1 end
    if topic == '' or name == topic then found.floor_ms, found.floor_sequence = ms, sequence end
    touched[name] = show(ms, sequence)
  end
  -- The index forgets it: a bucket with one busy topic stays as small as what is kept of it.
  for _, name in ipairs(topics) do
    local index = place(name).index
    redis.call('XDEL', index, show(ms, sequence))
    if redis.call('XLEN', index) == 0 then redis.call('DEL', index) end
  end
end

local more = 0
if topic == '' then
  local start
  for _, segment in ipairs(SEGMENTS) do
    start = '-'
    while more == 0 do
      local entries = redis.call('XRANGE', segment, start, '+', 'COUNT', 16)
      for _, entry in ipairs(entries) do
        start = '(' .. entry[1]
        local fields, ms, before, number = entry_events(entry)
        for each = 1, number do
          local head = fields[2 * each + 1]
          if head ~= '' and more == 0 then
            local size, topics = unpack_head(head)
            if is_alive(topics, ms, before + each) then
              local exceeds = total_events - count > max_events or total_bytes - bytes > max_bytes
              if not exceeds then
                more = 2
              elseif left <= 0 then
                more = 1
              else
                kill(ms, before + each, size, topics)
                left = left - 1
              end
            end
          end
        end
        if more > 0 then break end
      end
      if #entries < 16 then break end
    end
  end
else
  local found = record(topic)
  if found then
    local at = place(topic)
    local ms, sequence = found.floor_ms, found.floor_sequence
    while more == 0 do
      local entries = redis.call('XRANGE', at.index, '(' .. show(ms, sequence), '+', 'COUNT', 64)
      for _, entry in ipairs(entries) do
        ms, sequence = parse(entry[1])
        if string.find(entry[2][2], at.tag, 1, true) then
          local head, _, time = find_event(ms, sequence)
          if head then
            local size, topics = unpack_head(head)
            local is_own = false
            for _, name in ipairs(topics) do is_own = is_own or name == topic end
            if is_own and is_alive(topics, ms, sequence) then
              if not (found.events > max_events or found.bytes > max_bytes or time <= until_at) then
                found.oldest = time
                more = 2
              elseif left <= 0 then
                found.oldest = time
                more = 1
              else
                kill(ms, sequence, size, topics)
                left = left - 1
              end
            end
          end
        end
        if more > 0 then break end
      end
      if #entries < 64 then break end
    end
    if more == 0 and found.events > 0 then  -- none is left: the count was wrong
      found.events, found.bytes = 0, 0
      emptied = emptied + 1
    end
    if not touched[topic] then store(topic, found) end
  end
end

local result = { count, more == 1 and 1 or 0 }
if count > 0 then
  local drops = redis.call('HINCRBY', META, 'drops', 1)
  for name, id in pairs(touched) do
    store(name, record(name))
    local ms, sequence = parse(id)
    local before_ms, before_sequence = parse(redis.call('HGET', key('dropped'), name) or '0-0')
    if less(before_ms, before_sequence, ms, sequence) then redis.call('HSET', key('dropped'), name, id) end
    redis.call('ZADD', key('dropped:order'), drops, name)
  end
  redis.call('HINCRBY', META, 'events', -count)
  redis.call('HINCRBY', META, 'bytes', -bytes)
  if emptied > 0 then redis.call('HINCRBY', META, 'topics', -emptied) end
end
if topic ~= '' and not touched[topic] then touched[topic] = true end
for name in pairs(touched) do
  local found = record(name)
  if found then
    result[#result + 1] = name
    result[#result + 1] = string.format('%.0f', found.events)
    result[#result + 1] = string.format('%.0f', found.bytes)
    result[#result + 1] = string.format('%.0f', found.oldest)
  end
end
return result
