#!lua name=engage_limits

-- A limit of a caller is one time, in microseconds of this server's clock: until then the caller's quota is not
-- whole again. Each unit moves it by an interval, and it never lies in the past (GCRA). What was used is charged
-- whole, also beyond the quota: the processes that let it through have decided that.
-- ARGV[1]: {cost, …}, the microseconds by which to move the time of each key. Answers how far it is from now.
local function charge(keys, args)
  local costs = cmsgpack.unpack(args[1])
  local time = server.call('TIME')
  local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
  local left = {}
  for i, key in ipairs(keys) do
    local whole_at = math.max(tonumber(server.call('GET', key) or now), now) + costs[i]
    left[i] = whole_at - now
    server.call('SET', key, string.format('%.0f', whole_at), 'PX', math.floor(left[i] / 1000) + 1)
  end
  return cmsgpack.pack(left)
end

server.register_function('engage_charge', charge)
