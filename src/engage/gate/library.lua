#!lua name=engage

-- A member is one field of a small hash (engage.gate.keys): records of 12 bytes, one a rule, big-endian:
-- rule code, kind, period, value, zone code, unconfirmed (0 or 1).
--   kind 0, streak:        period = its last day, value = days in a row, zone = code of its zone
--   kind 1 or 2, window:   period = the day (1) or month (2), value = its used slots as bits, zone = 0
-- A streak is unconfirmed from the claim of its last day until the confirmation. A window is unconfirmed from
-- its first claim for as long as the record lives: when all slots are used, the database is asked once which of
-- them it has. Counting confirmations is not enough: some confirm claims of an earlier, lost record.
-- A member without a field is unknown, which is not the same as new: the caller reads the database and loads
-- the field. So a loss of keys costs a read and never gives a wrong answer.

local FORMAT, SIZE = '>HBHIHB', 12
local STREAK, MONTH = 0, 2
local GRANTED, REFUSED, UNKNOWN = 0, 1, 2

local function find(records, code)
  for at = 1, #records, SIZE do
    local rule, kind, period, value, zone, unconfirmed = struct.unpack(FORMAT, records, at)
    if rule == code then
      return {at = at, kind = kind, period = period, value = value, zone = zone, unconfirmed = unconfirmed}
    end
  end
  return nil
end

local function put(records, code, r)
  local packed = struct.pack(FORMAT, code, r.kind, r.period, r.value, r.zone, r.unconfirmed)
  if r.at then
    return records:sub(1, r.at - 1) .. packed .. records:sub(r.at + SIZE)
  end
  return records .. packed
end

local function claim_streak(records, code, day, zone)
  local r = find(records, code)
  if not r then
    return GRANTED, 1, put(records, code, {kind = STREAK, period = day, value = 1, zone = zone, unconfirmed = 1})
  end
  if r.zone ~= zone then
    -- The streak may run in another zone, and only the database has the zone's name.
    return UNKNOWN, 0, nil
  end
  if r.unconfirmed > 0 then
    -- The caller of the last claim may have died before the database had it. The same day is granted again,
    -- and the database decides. Any other day depends on whether the last one counts.
    if day == r.period then
      return GRANTED, r.value, nil
    end
    return UNKNOWN, 0, nil
  end
  if day <= r.period then
    return REFUSED, r.value, nil
  end
  r.value = (day == r.period + 1) and r.value + 1 or 1
  r.period, r.unconfirmed = day, 1
  return GRANTED, r.value, put(records, code, r)
end

local function claim_window(records, code, kind, period, count)
  local r = find(records, code)
  if not r or r.kind ~= kind or r.period < period then
    r = {at = r and r.at, kind = kind, period = period, value = 0, zone = 0, unconfirmed = 0}
  elseif r.period > period then
    return UNKNOWN, 0, nil
  end
  local first, free = nil, 0
  for number = 1, count do
    if bit.band(r.value, bit.lshift(1, number - 1)) == 0 then
      first, free = first or number, free + 1
    end
  end
  if first then
    r.value = bit.bor(r.value, bit.lshift(1, first - 1)) % 4294967296
    r.unconfirmed = 1
    return GRANTED, first, put(records, code, r), free - 1
  end
  if r.unconfirmed > 0 then
    -- Some of these slots may be of claims that never reached the database.
    return UNKNOWN, 0, nil
  end
  return REFUSED, count, nil
end

local function claim_once(key, ttl_s)
  local state = server.call('GET', key)
  if state == 'c' then
    return REFUSED, 1
  end
  if not state then
    server.call('SET', key, 'u', 'EX', ttl_s)
  end
  return GRANTED, 1
end

-- Drops members whose records are all old, when others are loaded: a hash does not grow with everyone who ever
-- earned something.
local function drop_old(key, oldest_day, oldest_month)
  local all = server.call('HGETALL', key)
  for i = 1, #all, 2 do
    local records, live = all[i + 1], false
    for at = 1, #records, SIZE do
      local _, kind, period = struct.unpack(FORMAT, records, at)
      live = live or period >= (kind == MONTH and oldest_month or oldest_day)
    end
    if not live then
      server.call('HDEL', key, all[i])
    end
  end
end

-- All functions: KEYS has a key for each item, ARGV[1] is msgpack. hash_ttl_s and once_ttl_s are how long a hash
-- and a once key live after their last change.

-- ARGV[1]: {hash_ttl_s, once_ttl_s, {claim, …}}; a claim is {'s', member, code, day, zone},
-- {'w', member, code, kind, period, count} or {'k'}.
-- Returns msgpack of {status, number, left, status, number, left, …}; left = free slots of a window after this one.
local function claim(keys, args)
  local hash_ttl_s, once_ttl_s, claims = unpack(cmsgpack.unpack(args[1]))
  local answer = {}
  for i, c in ipairs(claims) do
    local key, status, number, left = keys[i], nil, nil, nil
    if c[1] == 'k' then
      status, number = claim_once(key, once_ttl_s)
    else
      local records, changed = server.call('HGET', key, c[2]), nil
      if not records then
        status, number = UNKNOWN, 0
      elseif c[1] == 's' then
        status, number, changed = claim_streak(records, c[3], c[4], c[5])
      else
        status, number, changed, left = claim_window(records, c[3], c[4], c[5], c[6])
      end
      if changed then
        server.call('HSET', key, c[2], changed)
        server.call('EXPIRE', key, hash_ttl_s)
      end
    end
    answer[3 * i - 2], answer[3 * i - 1], answer[3 * i] = status, number, left or 0
  end
  return cmsgpack.pack(answer)
end

-- The database has accepted these claims, whatever the hash says meanwhile.
-- ARGV[1]: {once_ttl_s, {claim, …}}; a claim is {member, code, kind, period, number, zone} or {false} for a once key.
local function confirm(keys, args)
  local once_ttl_s, claims = unpack(cmsgpack.unpack(args[1]))
  for i, c in ipairs(claims) do
    local member, code, kind, period, number, zone = unpack(c)
    local records = member and server.call('HGET', keys[i], member)
    if not member then
      server.call('SET', keys[i], 'c', 'EX', once_ttl_s)
    elseif records then
      local r = find(records, code)
      if not r or r.kind ~= kind or r.period < period then
        r = {at = r and r.at, kind = kind, period = period, value = 0, zone = zone, unconfirmed = 0}
      end
      if r.period == period then
        if kind == STREAK then
          r.value, r.zone, r.unconfirmed = number, zone, 0
        else
          r.value = bit.bor(r.value, bit.lshift(1, number - 1)) % 4294967296
        end
        server.call('HSET', keys[i], member, put(records, code, r))
      end
    end
  end
  return #claims
end

-- Forgets members: their next claim is UNKNOWN. ARGV[1]: {{member} or {false}, …}; false for a once key.
local function undo(keys, args)
  local claims = cmsgpack.unpack(args[1])
  for i, c in ipairs(claims) do
    if c[1] then
      server.call('HDEL', keys[i], c[1])
    else
      server.call('DEL', keys[i])
    end
  end
  return #claims
end

-- Loads members that are unknown. Those who are known stay as they are: the caller may have read older rows.
-- ARGV[1]: {hash_ttl_s, oldest_day, oldest_month, {member, …}}; ARGV[2…]: the records of each member.
local function load(keys, args)
  local hash_ttl_s, oldest_day, oldest_month, members = unpack(cmsgpack.unpack(args[1]))
  for i, member in ipairs(members) do
    local added = server.call('HSETNX', keys[i], member, args[i + 1])
    server.call('EXPIRE', keys[i], hash_ttl_s)
    if added == 1 and server.call('HLEN', keys[i]) % 32 == 0 then
      drop_old(keys[i], oldest_day, oldest_month)
    end
  end
  return #members
end

server.register_function('engage_claim', claim)
server.register_function('engage_confirm', confirm)
server.register_function('engage_undo', undo)
server.register_function('engage_load', load)
