-- Record a boundary if events may have been lost, and return what the log has.
-- ARGV: the caller's last position, time (ms).
-- Returns the head, the boundaries, and the count of drops with all that was dropped.
local seen_ms, seen_sequence = parse(ARGV[1])
local now = clock(ARGV[2])
local info = redis.call('INFO', 'replication') .. redis.call('INFO', 'server')
local server = string.match(info, 'master_replid:(%w+)') .. '/' .. string.match(info, 'run_id:(%w+)')
local known = redis.call('HGET', META, 'server')
local head_ms, head_sequence = head_position()
if known ~= server or less(head_ms, head_sequence, seen_ms, seen_sequence) then
  local ms, sequence = head_ms, head_sequence
  if less(ms, sequence, seen_ms, seen_sequence) then ms, sequence = seen_ms, seen_sequence end
  if now > ms then
    ms, sequence = now, 0
  elseif sequence < 999999 then
    sequence = sequence + 1
  else
    ms, sequence = ms + 1, 0
  end
  redis.call('RPUSH', key('boundaries'), show(ms, sequence) .. ' ' .. show(head_ms, head_sequence))
  redis.call('LTRIM', key('boundaries'), -10000, -1)
  redis.call('HSET', META, 'server', server, 'replid', string.match(server, '^%w+'), 'head', show(ms, sequence))
  head_ms, head_sequence = ms, sequence
end
return { show(head_ms, head_sequence), redis.call('LRANGE', key('boundaries'), 0, -1), dropped_since(0) }
