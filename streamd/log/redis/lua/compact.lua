-- Free the memory of dropped events: move what is alive of the first entries of a stream to the one before it.
-- ARGV: number of the stream (1 or 2), most entries to move, newest id to move, 1 to end before the first
-- event that is alive.
-- Returns {entries taken, events freed}.
local from, to = SEGMENTS[tonumber(ARGV[1]) + 1], SEGMENTS[tonumber(ARGV[1])]
local entries = redis.call('XRANGE', from, '-', ARGV[3], 'COUNT', ARGV[2])
local taken, freed = 0, 0
local last = false
for _, entry in ipairs(entries) do
  local fields, ms, before, count = entry_events(entry)
  local dead, alive = {}, 0
  for number = 1, count do
    local head = fields[2 * number + 1]
    if head ~= '' then
      local _, topics = unpack_head(head)
      if is_alive(topics, ms, before + number) then
        alive = alive + 1
      else
        dead[#dead + 1] = { number, topics }
      end
    end
  end
  if alive > 0 and ARGV[4] == '1' then break end
  for _, each in ipairs(dead) do
    local sequence = before + each[1]
    fields[2 * each[1] + 1], fields[2 * each[1] + 2] = '', ''
    -- Without a record its other events are dropped, too; a new one begins with its floor at the head.
    for _, topic in ipairs(each[2]) do
      local found = record(topic)
      if found and found.events <= 0 then forget(topic) end
    end
  end
  freed = freed + #dead
  if alive > 0 then redis.call('XADD', to, entry[1], unpack(fields)) end
  taken = taken + 1
  last = entry[1]
end
if last then
  local ms, sequence = parse(last)
  redis.call('XTRIM', from, 'MINID', show(ms, sequence + 1))
  if ARGV[1] == '2' then redis.call('XADD', key('log:moved'), 'MAXLEN', '=', 1, last, 'm', '') end
  if freed > 0 then redis.call('HINCRBY', META, 'stored', -freed) end  -- Lua writes -0 as no integer
end
if ARGV[1] == '1' and redis.call('XLEN', from) == 0 and redis.call('XLEN', to) > 0 then
  redis.call('RENAME', to, from)
end
return { taken, freed }
