#!lua name=engage_topics

-- ARGV: topic and message of each change, in order. Returns the positions, from 0, of those whose topic belongs to
-- another primary. A topic has the hash slot of its member; those of a call have many slots of this primary.
local function publish(_, args)
  local elsewhere = {}
  for i = 1, #args, 2 do
    local answer = server.pcall('SPUBLISH', args[i], args[i + 1])
    if type(answer) == 'table' then
      elsewhere[#elsewhere + 1] = (i - 1) / 2
    end
  end
  return elsewhere
end

server.register_function{
  function_name = 'engage_publish', callback = publish, flags = {'allow-cross-slot-keys', 'allow-oom'}
}
