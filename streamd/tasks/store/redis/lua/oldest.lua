-- Read the oldest pending task of some kinds. ARGV: number after which to look, kinds.
-- Returns {id, number, body, lease, revision, input}, or {}.
local oldest, oldest_number
for index = 2, #ARGV do
  local found = redis.call('ZRANGE', key('tasks:status:pending:' .. ARGV[index]), '(' .. ARGV[1], '+inf', 'BYSCORE',
    'LIMIT', 0, 1, 'WITHSCORES')
  if found[1] and (not oldest or tonumber(found[2]) < oldest_number) then
    oldest, oldest_number = found[1], tonumber(found[2])
  end
end
if not oldest then return {} end
local _, body, lease, revision, input = unpack(read_task(oldest, 'revision', 'input'))
return { oldest, string.format('%.0f', oldest_number), body, lease, revision, input }
