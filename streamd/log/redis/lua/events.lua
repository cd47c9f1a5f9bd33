-- Functions of the scripts that append events.
local CHUNK = 1000  -- events in one entry: Lua passes 8,000 arguments at most

-- Returns the drafts from an argument on: of each its key ('' for none), fingerprint, head, body, number of
-- topics, topics.
local function read_drafts(position)
  local drafts = {}
  local function take()
    position = position + 1
    return ARGV[position - 1]
  end
  while position <= #ARGV do
    local draft = { key = take(), fingerprint = take(), head = take(), body = take(), topics = {} }
    for index = 1, tonumber(take()) do draft.topics[index] = take() end
    drafts[#drafts + 1] = draft
  end
  return drafts
end

-- Returns the ids by the keys that were used since a time; or nil, and the index of a draft with other content.
local function find_keys(drafts, since)
  local known = {}
  for index, draft in ipairs(drafts) do
    if draft.key ~= '' and not known[draft.key] then
      local value = redis.call('HGET', key('keys'), draft.key)
      if value then
        local ms, sequence, used_at = struct.unpack('>I6I3I6', value)
        if used_at >= since then
          if string.sub(value, 16) ~= draft.fingerprint then return nil, index - 1 end
          known[draft.key] = show(ms, sequence)
        end
      end
    end
  end
  return known
end

-- Append drafts, and return the id of each, with '=' in front if its key was known.
local function append_drafts(drafts, known, now, at)
  local fresh = 0
  local seen = {}
  for _, draft in ipairs(drafts) do
    draft.duplicate = draft.key ~= '' and (known[draft.key] or seen[draft.key])
    if not draft.duplicate then fresh = fresh + 1 end
    if draft.key ~= '' then seen[draft.key] = true end
  end

  -- All ids of an append are of one millisecond, so that an entry needs only the last.
  local ms, sequence = head_position()
  local floor_ms, floor_sequence = ms, sequence
  if now > ms then
    ms, sequence = now, -1
  elseif sequence + fresh > 999999 then
    ms, sequence = ms + 1, -1
  end

  local about = string.format('%.0f ', at) .. show(ms, sequence + fresh)
  local ids, fields, bytes, topics = {}, { '@', about }, 0, 0
  for _, draft in ipairs(drafts) do
    if draft.duplicate then
      ids[#ids + 1] = '=' .. known[draft.key]
    else
      sequence = sequence + 1
      local id = show(ms, sequence)
      ids[#ids + 1] = id
      fields[#fields + 1] = draft.head
      fields[#fields + 1] = draft.body
      if #fields == 2 * CHUNK + 2 then
        redis.call('XADD', SEGMENTS[3], id, unpack(fields))
        fields = { '@', about }
      end
      local size = cmsgpack.unpack(draft.head)[1]
      bytes = bytes + size
      local tags = {}
      for _, topic in ipairs(draft.topics) do
        local found = record(topic)
        if not found then
          -- Earlier events of the topic, if some are stored still, are dropped.
          found = {
            events = 0, bytes = 0, oldest = at, floor_ms = floor_ms, floor_sequence = floor_sequence,
            ms = 0, sequence = 0,
          }
          redis.call('SADD', key('topics'), place(topic).number)
        end
        if found.events == 0 then
          found.oldest = at
          topics = topics + 1
        end
        found.events, found.bytes, found.ms, found.sequence = found.events + 1, found.bytes + size, ms, sequence
        records[topic] = found
        local index = place(topic).index
        tags[index] = (tags[index] or '') .. place(topic).tag
      end
      for index, tag in pairs(tags) do redis.call('XADD', index, id, 't', tag) end
      if draft.key ~= '' then
        known[draft.key] = id
        redis.call('HSET', key('keys'), draft.key, struct.pack('>I6I3I6', ms, sequence, at) .. draft.fingerprint)
        redis.call('XADD', key('keys:order'), id, 'k', draft.key)
      end
    end
  end
  if fresh > 0 then
    local last = show(ms, sequence)
    if #fields > 2 then redis.call('XADD', SEGMENTS[3], last, unpack(fields)) end
    local stored = {}
    for _, draft in ipairs(drafts) do
      if not draft.duplicate then
        for _, topic in ipairs(draft.topics) do
          if not stored[topic] then
            stored[topic] = true
            store(topic, records[topic])
          end
        end
      end
    end
    redis.call('HSET', META, 'head', last)
    redis.call('HINCRBY', META, 'events', fresh)
    redis.call('HINCRBY', META, 'stored', fresh)
    redis.call('HINCRBY', META, 'bytes', bytes)
    if topics > 0 then redis.call('HINCRBY', META, 'topics', topics) end
  end
  return ids
end
