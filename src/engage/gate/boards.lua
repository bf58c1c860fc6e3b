#!lua name=engage_boards

-- A board has three keys (engage.gate.boards):
--   order:  a sorted set. All scores are 0, so its members stand in the order of their bytes: the score (8 bytes,
--           inverted), when it was reached (8 bytes, microseconds), the member's id. Exact up to 2^63, where a
--           score of the set is a double, exact up to 2^53.
--   places: a hash of the members: the version of the row in the database (8 bytes), and the bytes in `order`;
--           none for a member who is not on the board.
--   state:  'complete', or 'loading:' and the last member that was loaded. Without it the board is unknown, and
--           the database answers.
-- A version is applied once, and never after a later one. So rows may come twice and in any order.

local function apply(order, places, args, first)
  for i = first, #args, 3 do
    local member, version, bytes = args[i], args[i + 1], args[i + 2]
    local known = server.call('HGET', places, member)
    if not known or known:sub(1, 8) < version then
      if known and #known > 8 then
        server.call('ZREM', order, known:sub(9))
      end
      if bytes ~= '' then
        server.call('ZADD', order, 0, bytes)
      end
      server.call('HSET', places, member, version .. bytes)
    end
  end
end

local function keep(keys, ttl_s)
  for _, key in ipairs(keys) do
    server.call('EXPIRE', key, ttl_s)
  end
end

-- KEYS: order, places, state. ARGV: ttl_s, then member, version, bytes of each row. A board that is unknown stays so.
local function update(keys, args)
  if server.call('EXISTS', keys[3]) == 0 then
    return 0
  end
  apply(keys[1], keys[2], args, 2)
  keep(keys, args[1])
  return 1
end

-- ARGV: ttl_s, the state that is expected, the state that follows, rows as above. Returns 0 where another one goes on.
local function load(keys, args)
  local state = server.call('GET', keys[3]) or ''
  if state ~= args[2] then
    return 0
  end
  if state == '' then
    server.call('DEL', keys[1], keys[2])
  end
  apply(keys[1], keys[2], args, 4)
  server.call('SET', keys[3], args[3])
  keep(keys, args[1])
  return 1
end

-- ARGV: the first place from 0, how many, and a member or '': around a member, `first` places before and after.
-- Returns {how many are on the board, the place of the first, bytes…}; nothing for an unknown board.
local function read(keys, args)
  if server.call('GET', keys[3]) ~= 'complete' then
    return false
  end
  local first, last = tonumber(args[1]), tonumber(args[1]) + tonumber(args[2]) - 1
  if args[3] ~= '' then
    local known = server.call('HGET', keys[2], args[3])
    if not known or #known == 8 then
      return {server.call('ZCARD', keys[1]), 0}
    end
    local place, around = server.call('ZRANK', keys[1], known:sub(9)), first
    first, last = math.max(place - around, 0), place + around
  end
  local found = {server.call('ZCARD', keys[1]), first}
  for _, bytes in ipairs(server.call('ZRANGE', keys[1], first, last)) do
    found[#found + 1] = bytes
  end
  return found
end

server.register_function('engage_board_update', update)
server.register_function('engage_board_load', load)
server.register_function{function_name = 'engage_board_read', callback = read, flags = {'no-writes'}}
