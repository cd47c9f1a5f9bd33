-- Remove the row that was kept for a task. ARGV after those of the queue: id.
local before = answered()
if before then return before end
if redis.call('ZREM', KEPT, ARGV[4]) == 1 then note_rows(ARGV[4], -1) end
return answer({ 'ok' })
