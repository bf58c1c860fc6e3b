#!lua name=engage

-- A member is one field of a small hash (engage.gate.keys): records of 12 bytes, one a rule and kind, big-endian:
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

local function find(records, code, kind)
  for at = 1, #records, SIZE do
    local rule, found, period, value, zone, unconfirmed = struct.unpack(FORMAT, records, at)
    if rule == code and found == kind then
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

-- Tells whether a run of `number` days up to `day` changes the run of `r` into a longer one, or is a part of it
-- that `r` does not know: then only the database knows how long the run is.
local function joins(r, day, number)
  local before, known_before = day - number, r.period - r.value
  if day > r.period then
    return before <= r.period and before ~= known_before
  elseif day == r.period then
    return number ~= r.value
  end
  return day <= known_before
end

local function claim_streak(records, code, day, zone)
  local r = find(records, code, STREAK)
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
  if day == r.period or (day < r.period and day > r.period - r.value) then
    return REFUSED, r.value, nil
  end
  if day < r.period then
    -- Only the database knows whether this day before the run is used.
    return UNKNOWN, 0, nil
  end
  r.value = (day == r.period + 1) and r.value + 1 or 1
  r.period, r.unconfirmed = day, 1
  return GRANTED, r.value, put(records, code, r)
end

local function claim_window(records, code, kind, period, count)
  local r = find(records, code, kind)
  if not r or r.period < period then
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

-- Claims a slot of each further limit of a rule; `limits` is one item of `further` below. Appends status, number
-- and left of each to `answer`. Returns (the worst status, the records with all of these claims).
local function claim_further(records, limits, answer)
  local worst = GRANTED
  for i = 4, #limits, 3 do
    local status, number, changed, left = UNKNOWN, 0, nil, nil
    if records then
      status, number, changed, left = claim_window(records, limits[3], limits[i], limits[i + 1], limits[i + 2])
    end
    answer[#answer + 1], answer[#answer + 2], answer[#answer + 3] = status, number, left or 0
    worst, records = math.max(worst, status), changed or records
  end
  return worst, records
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

-- ARGV[1]: {hash_ttl_s, once_ttl_s, {claim, …}, further}; a claim is {'s', member, code, day, zone},
-- {'w', member, code, kind, period, count} or {'k'}. `further` has a list for each claim whose rule has further
-- limits, by the claim's number: {hash, member, code, kind, period, count, kind, period, count, …}, where `hash` is
-- the number of the key of the member's hash.
-- Returns msgpack of {status, number, left, status, number, left, …}; left = free slots of a window after this one.
-- Behind the claims are the same three of each further limit. A claim that is not granted as a whole claims
-- nothing.
local function claim(keys, args)
  local hash_ttl_s, once_ttl_s, claims, further = unpack(cmsgpack.unpack(args[1]))
  local answer, behind = {}, {}
  for i, c in ipairs(claims) do
    local hash, member, once, limits = keys[i], c[2], nil, further and further[i]
    local status, number, records, changed, left = nil, nil, nil, nil, nil
    if c[1] == 'k' then
      once, number = server.call('GET', keys[i]), 1
      status = once == 'c' and REFUSED or GRANTED
    else
      records = server.call('HGET', hash, member)
      if not records then
        status, number = UNKNOWN, 0
      elseif c[1] == 's' then
        status, number, changed = claim_streak(records, c[3], c[4], c[5])
      else
        status, number, changed, left = claim_window(records, c[3], c[4], c[5], c[6])
      end
    end
    local whole = status
    if limits and status == REFUSED and c[1] ~= 'w' then
      -- It is refused for ever, or until tomorrow, whatever else the rule allows.
      for _ = 4, #limits do
        behind[#behind + 1] = GRANTED
      end
    elseif limits then
      hash, member = keys[limits[1]], limits[2]
      local worst, all = claim_further(changed or records or server.call('HGET', hash, member), limits, behind)
      whole = math.max(whole, worst)
      changed = whole == GRANTED and all or nil
    end
    if changed then
      server.call('HSET', hash, member, changed)
      server.call('EXPIRE', hash, hash_ttl_s)
    end
    if c[1] == 'k' and whole == GRANTED and not once then
      server.call('SET', keys[i], 'u', 'EX', once_ttl_s)
    end
    answer[3 * i - 2], answer[3 * i - 1], answer[3 * i] = status, number, left or 0
  end
  for _, one in ipairs(behind) do
    answer[#answer + 1] = one
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
      local r = find(records, code, kind)
      if r and kind == STREAK and r.zone == zone and joins(r, period, number) then
        server.call('HDEL', keys[i], member)
        r = nil
      elseif not r or r.period < period then
        r = {at = r and r.at, kind = kind, period = period, value = 0, zone = zone, unconfirmed = 0}
      end
      if r and r.period == period then
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
