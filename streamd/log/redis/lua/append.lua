-- Append drafts, all or none.
-- ARGV: node, number of the append, number of the first that may be sent again; id clock and age clock (ms; '' for
-- the server's); how long keys are known (ms); count of conditions, then topic and last id of each; then of each
-- draft: key ('' for none), fingerprint, head, body, number of topics, topics.
-- Returns {'ok', id of each draft, with '=' in front if its key was known}, {'refused', index, id},
-- {'conflict', index}, or {'join'} if the server is not the one that the log was joined on.
local before = answered()
if before then return before end
local now, at = clock(ARGV[4]), clock(ARGV[5])
local conditions, position = {}, 8
for index = 1, tonumber(ARGV[7]) do
  conditions[index] = { ARGV[position], ARGV[position + 1] }
  position = position + 2
end
local drafts = read_drafts(position)

-- Everything is checked before the first write.
local known, conflicting = find_keys(drafts, at - tonumber(ARGV[6]))
if not known then return { 'conflict', conflicting } end
for index, condition in ipairs(conditions) do
  local ms, sequence = 0, 0
  local found = record(condition[1])
  if found then ms, sequence = found.ms, found.sequence end
  local dropped = redis.call('HGET', key('dropped'), condition[1])
  if dropped then
    local dropped_ms, dropped_sequence = parse(dropped)
    if less(ms, sequence, dropped_ms, dropped_sequence) then ms, sequence = dropped_ms, dropped_sequence end
  end
  if show(ms, sequence) ~= condition[2] then return { 'refused', index - 1, show(ms, sequence) } end
end
local ids = append_drafts(drafts, known, now, at)
table.insert(ids, 1, 'ok')
return answer(ids)
