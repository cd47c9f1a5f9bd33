-- Store a change that was decided on one revision of a task.
-- Returns {'ok', ids of the events}, {'changed', number, body, lease, revision} if the task has another revision,
-- {'missing', was it there}, {'outbox'} if the events must go there, or {'join'}.
local before = answered()
if before then return before end
local write = cmsgpack.unpack(ARGV[6])
local number, body, lease, revision, status = unpack(read_task(write.id, 'revision', 'status'))
if not number then return { 'missing', is_gone(write.id) and 1 or 0 } end
if tonumber(revision) ~= write.revision then return { 'changed', number, body, lease, revision } end
if must_wait(write) then return { 'outbox' } end
return answer({ 'ok', unpack(apply(write, number, status)) })
