-- Remove rows of the outbox that cannot be decoded. ARGV after those of the queue: their names.
local before = answered()
if before then return before end
for index = 4, #ARGV do
  if redis.call('ZREM', OUTBOX, ARGV[index]) == 1 then
    redis.call('HDEL', key('tasks:outbox:rows'), ARGV[index])
    note_rows(string.match(ARGV[index], '^(.*):%d+:%d+$') or '', -1)
  end
end
return answer({ 'ok' })
