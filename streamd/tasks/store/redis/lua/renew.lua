-- Set the end of the leases of running tasks. ARGV after those of the queue: time (ms), ids.
local before = answered()
if before then return before end
for index = 5, #ARGV do
  local id = ARGV[index]
  local values = redis.call('HMGET', task_key(id), 'status', 'deadline')
  if values[1] == 'running' then
    redis.call('HSET', task_key(id), 'lease', ARGV[4], 'revision', next_number())
    set_due(id, values[2], ARGV[4])
  end
end
return answer({ 'ok' })
