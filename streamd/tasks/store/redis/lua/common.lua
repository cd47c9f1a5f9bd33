-- Functions of all scripts of tasks; see the package for the keys.
-- A revision is a number that no other change of any task has.
local OUTBOX = key('tasks:outbox')
local KEPT = key('tasks:kept')

local function task_key(id) return key('task:' .. id) end

local function next_number() return redis.call('INCR', key('tasks:number')) end

local function count_tasks(kind, status, change)
  local field = kind .. '\0' .. status
  if redis.call('HINCRBY', key('tasks:counts'), field, change) <= 0 then
    redis.call('HDEL', key('tasks:counts'), field)
  end
end

local function leave_status(id, kind, status)
  redis.call('ZREM', key('tasks:status:' .. status), id)
  redis.call('ZREM', key('tasks:status:' .. status .. ':' .. kind), id)
  count_tasks(kind, status, -1)
end

local function enter_status(id, number, kind, status)
  redis.call('ZADD', key('tasks:status:' .. status), number, id)
  redis.call('ZADD', key('tasks:status:' .. status .. ':' .. kind), number, id)
  count_tasks(kind, status, 1)
end

-- Tasks that end in one millisecond are in the order of their creation.
local function end_member(id, number) return string.format('%016.0f', number) .. id end

-- Let an ended task expire once it has no rows in the outbox.
local function note_rows(id, change)
  local task = task_key(id)
  local values = redis.call('HMGET', task, 'number', 'kind', 'ended')
  if not values[1] then return end
  if redis.call('HINCRBY', task, 'rows', change) <= 0 and values[3] ~= '' then
    redis.call('ZADD', key('tasks:ended:' .. values[2]), values[3], end_member(id, values[1]))
  end
end

local function set_due(id, deadline, lease)
  local due = tonumber(deadline)
  if lease ~= '' and tonumber(lease) < due then due = tonumber(lease) end
  redis.call('ZADD', key('tasks:due'), string.format('%.0f', due), id)
end

local function is_gone(id) return redis.call('HEXISTS', key('tasks:gone'), id) == 1 end

-- Returns kind and status; neither if the task has lost its hash.
local function delete_task(id, now)
  local task = task_key(id)
  local values = redis.call('HMGET', task, 'number', 'kind', 'owner', 'status', 'key')
  local number, kind, owner, status, idempotency_key = unpack(values)
  redis.call('ZREM', key('tasks'), id)
  redis.call('ZREM', key('tasks:due'), id)
  redis.call('DEL', task, key('task-text:' .. id))
  if not number then return '', '' end
  redis.call('ZREM', key('tasks:kind:' .. kind), id)
  if owner ~= '' then redis.call('ZREM', key('tasks:owner:' .. owner), id) end
  leave_status(id, kind, status)
  redis.call('ZREM', key('tasks:ended:' .. kind), end_member(id, number))
  if idempotency_key ~= '' then redis.call('HDEL', key('tasks:keys'), idempotency_key) end
  redis.call('HSET', key('tasks:gone'), id, now)
  redis.call('ZADD', key('tasks:gone:order'), next_number(), id)
  return kind, status
end

-- Returns number, body, lease and some more fields of a task.
local function read_task(id, ...)
  return redis.call('HMGET', task_key(id), 'number', 'body', 'lease', ...)
end

