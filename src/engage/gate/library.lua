#!lua name=engage

-- A member is one field of a small hash (engage.gate.keys): records, one a rule and kind, big-endian. Each begins
-- with rule code and kind.
--   kind 0, streak:        its last day, days in a row, frozen days among them, code of its zone, unconfirmed
--                          (0 or 1), freezes (255: never given any), longest run, seq, second of the newest event
--   kind 1 or 2, window:   the day (1) or month (2), its used slots as bits, unconfirmed
-- A streak's seq is how many events it had. The database has each seq once, so a record that misses an event is
-- found out at the next one. A streak is unconfirmed from the claim of its last day until the confirmation. A
-- window is unconfirmed from its first claim for as long as the record lives: when all slots are used, the
-- database is asked once which of them it has. Counting confirmations is not enough: some confirm claims of an
-- earlier, lost record.
-- A member without a field is unknown, which is not the same as new: the caller reads the database and loads
-- the field. So a loss of keys costs a read and never gives a wrong answer.

local STREAK_FORMAT, STREAK_SIZE = '>HBHHHHBBHHI', 21
local WINDOW_FORMAT, WINDOW_SIZE = '>HBHIB', 10
local STREAK, MONTH, NO_FREEZES = 0, 2, 255
local GRANTED, REFUSED, UNKNOWN = 0, 1, 2
-- What is left for a claim that is unknown because the member has no field.
local ABSENT = -1

local function size_of(kind)
  return kind == STREAK and STREAK_SIZE or WINDOW_SIZE
end

local function read_streak(records, at)
  local _, kind, period, days, frozen, zone, unconfirmed, freezes, best, seq, second =
    struct.unpack(STREAK_FORMAT, records, at)
  return {at = at, kind = kind, period = period, days = days, frozen = frozen, zone = zone,
    unconfirmed = unconfirmed, freezes = freezes, best = best, seq = seq, second = second}
end

local function read_window(records, at)
  local _, kind, period, value, unconfirmed = struct.unpack(WINDOW_FORMAT, records, at)
  return {at = at, kind = kind, period = period, value = value, unconfirmed = unconfirmed}
end

local function find(records, code, kind)
  local at = 1
  while at <= #records do
    local rule, found = struct.unpack('>HB', records, at)
    if rule == code and found == kind then
      return kind == STREAK and read_streak(records, at) or read_window(records, at)
    end
    at = at + size_of(found)
  end
  return nil
end

-- The records with `packed` in place of the one at `at`, or behind all others where that is nil.
local function place(records, at, packed)
  if not at then
    return records .. packed
  elseif #records == #packed then
    return packed
  end
  return records:sub(1, at - 1) .. packed .. records:sub(at + #packed)
end

local function put(records, code, r)
  local packed
  if r.kind == STREAK then
    packed = struct.pack(STREAK_FORMAT, code, STREAK, r.period, r.days, r.frozen, r.zone, r.unconfirmed, r.freezes,
      r.best, r.seq, r.second)
  else
    packed = struct.pack(WINDOW_FORMAT, code, r.kind, r.period, r.value, r.unconfirmed)
  end
  return place(records, r.at, packed)
end

-- Counts `day` in the streak `r`, as engage.domain.earning.streak.with_day does.
local function count_day(r, day, freezes)
  local start, most, earn_every = unpack(freezes)
  local missed, stock = day - r.period - 1, r.freezes ~= NO_FREEZES and r.freezes or 0
  if r.days > 0 and missed <= stock then
    r.days, r.frozen, stock = r.days + 1, r.frozen + missed, stock - missed
  else
    stock = r.days > 0 and 0 or stock
    r.days, r.frozen = 1, 0
  end
  if r.freezes ~= NO_FREEZES then
    r.freezes = stock
  elseif start then
    r.freezes = start
  end
  if start and earn_every > 0 and r.days % earn_every == 0 and r.freezes < most then
    r.freezes = r.freezes + 1
  end
  r.period, r.best, r.seq, r.unconfirmed = day, math.max(r.best, r.days), r.seq + 1, 1
end

-- `freezes` is {start, max, earn_every}, empty where the rule gives none. Returns (status, days in a row, the
-- records with the claim, the streak).
local function claim_streak(records, code, day, zone, second, may_be_before, freezes)
  local r = find(records, code, STREAK)
  if not r then
    r = {kind = STREAK, period = 0, days = 0, frozen = 0, zone = zone, freezes = NO_FREEZES, best = 0, seq = 0}
    r.second = second
    count_day(r, may_be_before and day - 1 or day, freezes)
    return GRANTED, r.days, put(records, code, r), r
  end
  if r.zone ~= zone then
    -- The streak may run in another zone, and only the database has the zone's name.
    return UNKNOWN, 0, nil
  end
  if may_be_before and r.period < day - 1 then
    day = day - 1
  end
  if r.unconfirmed > 0 then
    -- The caller of the last claim may have died before the database had it. The same day is granted again,
    -- and the database decides. Any other day depends on whether the last one counts.
    if day == r.period then
      return GRANTED, r.days, nil, r
    end
    return UNKNOWN, 0, nil
  end
  if day == r.period or (r.frozen == 0 and day < r.period and day > r.period - r.days) then
    return REFUSED, r.days, nil
  end
  if day < r.period or second <= r.second or (#freezes > 0 and r.freezes == NO_FREEZES) then
    -- What came before the newest event, or when a version gave the first freezes, only the database knows.
    return UNKNOWN, 0, nil
  end
  count_day(r, day, freezes)
  r.second = second
  return GRANTED, r.days, put(records, code, r), r
end

local function claim_window(records, code, kind, period, count)
  local r = find(records, code, kind)
  if not r or r.period < period then
    r = {at = r and r.at, kind = kind, period = period, value = 0, unconfirmed = 0}
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
    local at = 1
    while at <= #records do
      local _, kind, period = struct.unpack('>HBH', records, at)
      live = live or period >= (kind == MONTH and oldest_month or oldest_day)
      at = at + size_of(kind)
    end
    if not live then
      server.call('HDEL', key, all[i])
    end
  end
end

-- All functions: KEYS has a key for each item, ARGV[1] is msgpack. hash_ttl_s and once_ttl_s are how long a hash
-- and a once key live after their last change.

-- ARGV[1]: {hash_ttl_s, once_ttl_s, {slot, …}, {member, slot, member, slot, …}, further}: for each claim its member
-- and the number of its slot. A slot is {'s', code, day, zone, second, may_be_before, freezes},
-- {'w', code, kind, period, count} or {'k'}. `further` has a list for each claim whose rule has further limits, by
-- the claim's number: {hash, member, code, kind, period, count, kind, period, count, …}, where `hash` is the number
-- of the key of the member's hash.
-- Returns msgpack of {status, number, left, status, number, left, …}; left = free slots of a window after this one;
-- it is -1 where the hash has no field of the member.
-- Behind the claims are the same three of each further limit, and then the last day, frozen, freezes, best and seq
-- of each streak that is granted. A claim that is not granted as a whole claims nothing.
local function claim(keys, args)
  local hash_ttl_s, once_ttl_s, slots, claims, further = unpack(cmsgpack.unpack(args[1]))
  local answer, behind, runs, run_end = {}, {}, {}, 0
  for i = 1, #claims / 2 do
    local hash, member, c, once, limits = keys[i], claims[2 * i - 1], slots[claims[2 * i]], nil, further and further[i]
    local status, number, records, changed, left, run = nil, nil, nil, nil, nil, nil
    if c[1] == 'k' then
      once, number = server.call('GET', hash), 1
      status = once == 'c' and REFUSED or GRANTED
    else
      records = server.call('HGET', hash, member)
      if not records then
        status, number, left = UNKNOWN, 0, ABSENT
      elseif c[1] == 's' then
        status, number, changed, run = claim_streak(records, c[2], c[3], c[4], c[5], c[6], c[7])
      else
        status, number, changed, left = claim_window(records, c[2], c[3], c[4], c[5])
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
    if run then
      runs[run_end + 1], runs[run_end + 2], runs[run_end + 3], runs[run_end + 4], runs[run_end + 5] =
        run.period, run.frozen, run.freezes, run.best, run.seq
      run_end = run_end + 5
    end
  end
  for _, list in ipairs({behind, runs}) do
    for _, one in ipairs(list) do
      answer[#answer + 1] = one
    end
  end
  return cmsgpack.pack(answer)
end

-- The database has accepted these claims, whatever the hash says meanwhile. Of a streak the event with the highest
-- seq counts.
-- ARGV[1]: {once_ttl_s, {member, record, member, record, …}}: for each claim its member and the number of its record
-- in ARGV[2…]. A record is packed: a streak as it is after the event, or a window with this slot alone. It is empty
-- for a once key.
local function confirm(keys, args)
  local once_ttl_s, claims = unpack(cmsgpack.unpack(args[1]))
  for i, key in ipairs(keys) do
    local member, record = claims[2 * i - 1], args[claims[2 * i] + 1]
    if record == '' then
      server.call('SET', key, 'c', 'EX', once_ttl_s)
    else
      local records = server.call('HGET', key, member)
      if records then
        local code, kind = struct.unpack('>HB', record)
        local r, changed = find(records, code, kind), nil
        if kind == STREAK then
          if not r or r.seq <= read_streak(record, 1).seq then
            changed = place(records, r and r.at, record)
          end
        else
          local new = read_window(record, 1)
          if not r or r.period < new.period then
            r = {at = r and r.at, kind = kind, period = new.period, value = 0, unconfirmed = 0}
          end
          if r.period == new.period then
            r.value = bit.bor(r.value, new.value) % 4294967296
            changed = put(records, code, r)
          end
        end
        if changed and changed ~= records then
          server.call('HSET', key, member, changed)
        end
      end
    end
  end
  return #keys
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
