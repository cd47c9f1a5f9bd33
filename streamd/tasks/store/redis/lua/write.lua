-- Functions of the scripts that create and change tasks.
-- ARGV after those of the queue: id clock and age clock (ms; '' for the server's); a `TaskWrite` of
-- store/redis/writes.py, in MessagePack; the number of its values, and these; the drafts of its events, without keys.

-- Returns true if the events cannot be appended, because earlier ones are still in the outbox.
local function must_wait(write)
  return write.appends and redis.call('ZCARD', OUTBOX) > 0
end

-- Store a write, after all checks. Returns the ids of the appended events.
local function apply(write, number, status)
  local task, id = task_key(write.id), write.id
  local fields, position = { 'revision', next_number() }, 7
  for _, name in ipairs(write.fields) do
    position = position + 1
    fields[#fields + 1] = name
    fields[#fields + 1] = ARGV[position]
  end
  redis.call('HSET', task, unpack(fields))
  if status ~= write.status then
    if status then leave_status(id, write.kind, status) end
    enter_status(id, number, write.kind, write.status)
  end
  if write.ended == '' then
    set_due(id, write.deadline, write.lease)
  else
    redis.call('ZREM', key('tasks:due'), id)
  end
  for _, text in ipairs(write.texts) do redis.call('RPUSH', key('task-text:' .. id), text) end
  local ids, appended, left = {}, 0, 0
  if write.appends then
    ids = append_drafts(read_drafts(8 + ARGV[7]), {}, clock(ARGV[4]), clock(ARGV[5]))
  end
  for _, row in ipairs(write.rows) do
    if write.appends then
      local event_id = ''
      if row.has_event then
        appended = appended + 1
        event_id = string.format('%013.0f-%06.0f', parse(ids[appended]))
      end
      if row.is_own then
        redis.call('HSET', task, 'published_version', row.version, 'published_id', event_id)
      end
      if row.keep then
        redis.call('ZADD', KEPT, next_number(), id)
        left = left + 1
      end
    else
      position = position + 1
      redis.call('ZADD', OUTBOX, next_number(), row.name)
      redis.call('HSET', key('tasks:outbox:rows'), row.name, ARGV[position])
      left = left + 1
    end
  end
  note_rows(id, left)
  return ids
end

