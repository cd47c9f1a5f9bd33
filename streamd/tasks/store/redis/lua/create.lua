-- Store a new task.
-- Returns {'ok', ids of the events}, {'known', fingerprint, id, number, body, lease} of the task of its key,
-- {'taken'}, {'full'}, {'crowded'}, {'outbox'} if the events must go there, or {'join'}.
local before = answered()
if before then return before end
local write = cmsgpack.unpack(ARGV[6])
local id, kind = write.id, write.kind
if write.key ~= '' then
  local stored = redis.call('HGET', key('tasks:keys'), write.key)
  if stored then
    local known = string.sub(stored, 65)
    local values = read_task(known)
    if values[1] then return { 'known', string.sub(stored, 1, 64), known, unpack(values) } end
  end
end
if redis.call('EXISTS', task_key(id)) == 1 or is_gone(id) then return { 'taken' } end
local counts = redis.call('HMGET', key('tasks:counts'), kind .. '\0pending', kind .. '\0running')
if tonumber(counts[1] or 0) + tonumber(counts[2] or 0) >= write.max_unfinished then return { 'full' } end
if redis.call('ZCARD', key('tasks')) >= write.max_tasks then return { 'crowded' } end
if must_wait(write) then return { 'outbox' } end

local number = next_number()
redis.call('HSET', task_key(id), 'number', number, 'kind', kind, 'owner', write.owner, 'key', write.key,
  'rows', 0, 'published_version', 0, 'published_id', '')
redis.call('ZADD', key('tasks'), number, id)
redis.call('ZADD', key('tasks:kind:' .. kind), number, id)
if write.owner ~= '' then redis.call('ZADD', key('tasks:owner:' .. write.owner), number, id) end
if write.key ~= '' then redis.call('HSET', key('tasks:keys'), write.key, write.fingerprint .. id) end
return answer({ 'ok', unpack(apply(write, number, nil)) })
