-- Take published rows out of the outbox.
-- ARGV after those of the queue: rows in MessagePack, each an array of name, task, version, is it the task's own, id of
-- the event ('' for none), is it kept.
local before = answered()
if before then return before end
for _, row in ipairs(cmsgpack.unpack(ARGV[4])) do
  local name, id, version, is_own, event_id, keep = unpack(row)
  if redis.call('ZREM', OUTBOX, name) == 1 then
    redis.call('HDEL', key('tasks:outbox:rows'), name)
    if keep then
      redis.call('ZADD', KEPT, next_number(), id)
    else
      note_rows(id, -1)
    end
  end
  local known = redis.call('HGET', task_key(id), 'published_version')
  if is_own and known and (tonumber(known) or 0) <= version then
    redis.call('HSET', task_key(id), 'published_version', version, 'published_id', event_id)
  end
end
return answer({ 'ok' })
