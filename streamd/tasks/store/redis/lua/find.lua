-- Read matching tasks of an index, the newest first.
-- ARGV: index, number before which to look ('+inf' at first), maximum number of tasks to look at, and to return, prefix
-- of the worker; then names and values of fields.
-- Returns {number before which to look next, '' at the end, then id, number, body, lease of each task}.
local entries = redis.call('ZRANGE', key(ARGV[1]), '(' .. ARGV[2], '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, ARGV[3],
  'WITHSCORES')
local names = { 'worker' }
for index = 6, #ARGV, 2 do names[#names + 1] = ARGV[index] end
local wanted = tonumber(ARGV[4])
local result = { '' }
for index = 1, #entries, 2 do
  local id = entries[index]
  local values = redis.call('HMGET', task_key(id), unpack(names))
  local matches = string.sub(values[1] or '', 1, #ARGV[5]) == ARGV[5]
  for field = 2, #names do matches = matches and values[field] == ARGV[3 + 2 * field] end
  if matches then
    local _, body, lease = unpack(read_task(id))
    result[#result + 1] = id
    result[#result + 1] = entries[index + 1]
    result[#result + 1] = body
    result[#result + 1] = lease
    wanted = wanted - 1
  end
  if wanted == 0 or index + 1 == 2 * tonumber(ARGV[3]) then
    result[1] = entries[index + 1]
    break
  end
end
return result
