-- Delete tasks that cannot be decoded. ARGV after those of the queue: time (ms), id and revision of each.
-- Returns {'ok', id, kind, status of each}.
local before = answered()
if before then return before end
local result = { 'ok' }
for index = 5, #ARGV, 2 do
  if (redis.call('HGET', task_key(ARGV[index]), 'revision') or '') == ARGV[index + 1] then
    local kind, status = delete_task(ARGV[index], ARGV[4])
    result[#result + 1] = ARGV[index]
    result[#result + 1] = kind
    result[#result + 1] = status
  end
end
return answer(result)
