-- Delete ended tasks of a kind that are too old or too many.
-- ARGV after those of the queue: kind, newest end that is too old (ms), maximum number of tasks, time (ms), most to
-- delete now. Returns {'ok', id and status of each}.
local before = answered()
if before then return before end
local kind, limit, max_kept, most = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[8])
local kept = redis.call('ZCARD', key('tasks:kind:' .. kind))
local ended = redis.call('ZRANGE', key('tasks:ended:' .. kind), 0, most - 1, 'WITHSCORES')
local result = { 'ok' }
for index = 1, #ended, 2 do
  if tonumber(ended[index + 1]) > limit and kept <= max_kept then break end
  local id = string.sub(ended[index], 17)
  local _, status = delete_task(id, ARGV[7])
  redis.call('ZREM', key('tasks:ended:' .. kind), ended[index])
  kept = kept - 1
  result[#result + 1] = id
  result[#result + 1] = status
end
return answer(result)
