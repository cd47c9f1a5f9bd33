-- Read a task. ARGV: id, 1 for its text, names of further fields.
-- Returns {'task', parts of the text, number, body, lease, further fields}, or {'missing', was it there}.
local values = read_task(ARGV[1], unpack(ARGV, 3))
if not values[1] then return { 'missing', is_gone(ARGV[1]) and 1 or 0 } end
local text = {}
if ARGV[2] == '1' then text = redis.call('LRANGE', key('task-text:' .. ARGV[1]), 0, -1) end
return { 'task', text, unpack(values, 1, #ARGV + 1) }
