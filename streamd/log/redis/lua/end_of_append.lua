-- Return the last id of the append of an event that is kept, '' for others. ARGV: the id.
local ms, sequence = parse(ARGV[1])
local head, _, _, last = find_event(ms, sequence)
if not head then return '' end
local _, topics = unpack_head(head)
if not is_alive(topics, ms, sequence) then return '' end
return last
