-- Read the oldest rows that are to be published. ARGV: number.
-- Returns {name, row, kind and status of its task, of each}.
local names = redis.call('ZRANGE', OUTBOX, 0, ARGV[1] - 1)
local result = {}
for _, name in ipairs(names) do
  local values = redis.call('HMGET', task_key(string.match(name, '^(.*):%d+:%d+$') or ''), 'kind', 'status')
  result[#result + 1] = name
  result[#result + 1] = redis.call('HGET', key('tasks:outbox:rows'), name) or ''
  result[#result + 1] = values[1] or ''
  result[#result + 1] = values[2] or ''
end
return result
