-- Look up an idempotency key. ARGV: now ('' for the server's time), time for which keys are kept, key.
-- Returns {number of new items, fingerprint}, or false.
local accepted, fingerprint = find_key(ARGV[3], clock(ARGV[1]) - tonumber(ARGV[2]))
if not accepted then return false end
return { accepted, fingerprint }
