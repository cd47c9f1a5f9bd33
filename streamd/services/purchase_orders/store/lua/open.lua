-- List unfinished orders whose task has had its time to be created. ARGV: the row before them, maximum number.
-- Returns {row, merchant, order, workflow, 1 if it has a key or 0} of each.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local after, limit = ARGV[1], tonumber(ARGV[2])
local result = {}
while true do
  local page = redis.call('ZRANGE', key('open'), '(' .. after, '+inf', 'BYSCORE', 'LIMIT', 0, limit, 'WITHSCORES')
  for index = 1, #page, 2 do
    after = page[index + 1]
    local found = redis.call('HMGET', order(page[index]), 'merchant_id', 'workflow_id', 'starting_until', 'key')
    if tonumber(found[3] or '0') <= now then
      result[#result + 1] = { after, found[1], page[index], found[2], found[4] and 1 or 0 }
      if #result == limit then return result end
    end
  end
  if #page < 2 * limit then return result end
end
