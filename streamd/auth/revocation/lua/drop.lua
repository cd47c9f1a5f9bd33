-- Delete some revocations that have expired. ARGV: newest end of those that have, maximum number.
-- Returns their number.
return drop(ARGV[1], tonumber(ARGV[2]))
