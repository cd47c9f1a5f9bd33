-- Read unfinished tasks whose lease or deadline has passed. ARGV: time (ms), first, number.
-- Returns {id, number, body, lease, revision, kind, deadline of each}.
local result = {}
for _, id in ipairs(redis.call('ZRANGE', key('tasks:due'), '-inf', ARGV[1], 'BYSCORE', 'LIMIT', ARGV[2], ARGV[3])) do
  result[#result + 1] = id
  local values = read_task(id, 'revision', 'kind', 'deadline')
  for index = 1, 6 do result[#result + 1] = values[index] end
end
return result
