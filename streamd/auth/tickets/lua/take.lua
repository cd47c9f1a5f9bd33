-- Remove a ticket. ARGV: now ('' for the server's time), digest.
-- Returns its record, or false if it is unknown or expired.
local value = redis.call('GETDEL', key('ticket:' .. ARGV[2]))
if not value then return false end
local ends, length, first = struct.unpack('>I6I1', value)
local owner = string.sub(value, first, first + length - 1)
redis.call('ZREM', key('tickets'), ARGV[2])
if owner ~= '' then redis.call('ZREM', key('tickets:' .. owner), ARGV[2]) end
if ends <= clock(ARGV[1]) then return false end
return string.sub(value, first + length)
