-- Functions of the scripts that a node's queue sends, and sends again when the connection was lost.
-- ARGV: node, number of the script, number of the first one that may be sent again.
local node = key('node:' .. ARGV[1])

-- Returns the reply of a script that ran before, {'late'} to one that was under way for so long that its node has
-- given it up and sent others, {'join'} if the server is not the one that the log was joined on, or nil: then the
-- script is to be run.
local function answered()
  local before = redis.call('HGET', node, ARGV[2])
  if before then return cmsgpack.unpack(before) end
  local first = redis.call('HGET', node, 'first')
  if first and tonumber(ARGV[2]) < tonumber(first) then return { 'late' } end
  local server = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
  if server ~= redis.call('HGET', META, 'replid') then return { 'join' } end
end

-- Remember the reply of a script that has written, and return it. The replies of the group before are forgotten with
-- the first script of a group that writes, which need not be the first that was sent.
local function answer(reply)
  if redis.call('HGET', node, 'first') ~= ARGV[3] then redis.call('DEL', node) end
  redis.call('HSET', node, 'first', ARGV[3], ARGV[2], cmsgpack.pack(reply))
  redis.call('PEXPIRE', node, 120000)
  return reply
end

