-- Forget deleted tasks that are too old or too many.
-- ARGV after those of the queue: newest time that is too old (ms), maximum number, most to forget now.
-- Returns {'ok', the number that is forgotten}.
local before = answered()
if before then return before end
local surplus = redis.call('ZCARD', key('tasks:gone:order')) - tonumber(ARGV[5])
local forgotten = 0
for _, id in ipairs(redis.call('ZRANGE', key('tasks:gone:order'), 0, ARGV[6] - 1)) do
  if forgotten >= surplus and tonumber(redis.call('HGET', key('tasks:gone'), id)) > tonumber(ARGV[4]) then break end
  redis.call('ZREM', key('tasks:gone:order'), id)
  redis.call('HDEL', key('tasks:gone'), id)
  forgotten = forgotten + 1
end
return answer({ 'ok', forgotten })
