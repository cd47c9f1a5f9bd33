-- Let a node join the log. If its server is another than before, events may be lost: the first node opens a boundary,
-- and nothing is appended until all nodes have said what they have seen, or some time has passed.
-- ARGV: the node, the server that it joined last ('' for none), its last position, time (ms), how long to wait (ms).
-- Returns 1 if events can be appended, the server, the head, the boundaries as 'start last lost' where lost is the
-- newest event that is known to be lost, or '', and the count of drops with all that was dropped.
local node, previous = ARGV[1], ARGV[2]
local seen_ms, seen_sequence = parse(ARGV[3])
local now, time = clock(ARGV[4]), clock('')
local info = redis.call('INFO', 'replication') .. redis.call('INFO', 'server')
local replid = string.match(info, 'master_replid:(%w+)')
local server = replid .. '/' .. string.match(info, 'run_id:(%w+)')
local head_ms, head_sequence = head_position()

-- A boundary whose start is after a position, and not before the present time.
local function open(last_ms, last_sequence, ms, sequence, lost)
  if now > ms then
    ms, sequence = now, 0
  elseif sequence < 999999 then
    sequence = sequence + 1
  else
    ms, sequence = ms + 1, 0
  end
  head_ms, head_sequence = ms, sequence
  redis.call('HSET', META, 'head', show(ms, sequence))
  return table.concat({ show(ms, sequence), show(last_ms, last_sequence), lost }, ' ')
end

local function append(boundary)
  redis.call('RPUSH', key('boundaries'), boundary)
  redis.call('LTRIM', key('boundaries'), -10000, -1)
end

if redis.call('HGET', META, 'server') ~= server then
  append(open(head_ms, head_sequence, head_ms, head_sequence, ''))
  redis.call('HSET', META, 'server', server, 'opened', string.format('%.0f', time))
  redis.call('HDEL', META, 'replid')
end
local is_open = not redis.call('HGET', META, 'replid')
local newest = redis.call('LINDEX', key('boundaries'), -1)
local start, last, lost = string.match(newest, '^(%S+) (%S+) (%S*)$')
local start_ms, start_sequence = parse(start)
local last_ms, last_sequence = parse(last)
if is_open or less(seen_ms, seen_sequence, start_ms, start_sequence) then
  local lost_ms, lost_sequence = parse(lost == '' and last or lost)
  if less(lost_ms, lost_sequence, seen_ms, seen_sequence) then
    if less(seen_ms, seen_sequence, start_ms, start_sequence) then
      redis.call('LSET', key('boundaries'), -1, table.concat({ start, last, ARGV[3] }, ' '))
    else
      redis.call('LSET', key('boundaries'), -1,
        open(last_ms, last_sequence, seen_ms, seen_sequence, ARGV[3]))
    end
  end
elseif less(head_ms, head_sequence, seen_ms, seen_sequence)
    or previous ~= '' and previous ~= server and less(start_ms, start_sequence, seen_ms, seen_sequence) then
  -- The node comes late, and has events of the server before with the ids of this one.
  if less(head_ms, head_sequence, seen_ms, seen_sequence) then
    append(open(head_ms, head_sequence, seen_ms, seen_sequence, ARGV[3]))
  else
    append(open(start_ms, start_sequence, head_ms, head_sequence, show(head_ms, head_sequence)))
  end
end

redis.call('HSET', key('nodes'), node, server)
if is_open then
  local missing = {}
  local nodes = redis.call('HGETALL', key('nodes'))
  for index = 1, #nodes, 2 do
    if nodes[index + 1] ~= server then missing[#missing + 1] = nodes[index] end
  end
  local opened = tonumber(redis.call('HGET', META, 'opened'))
  if #missing == 0 or time >= opened + tonumber(ARGV[5]) or time < opened then
    for _, name in ipairs(missing) do redis.call('HDEL', key('nodes'), name) end
    redis.call('HSET', META, 'replid', replid)
    is_open = false
  end
end
return {
  is_open and 0 or 1, server, show(head_ms, head_sequence), redis.call('LRANGE', key('boundaries'), 0, -1),
  dropped_since(0),
}
