-- What both scripts of the quota begin with: whose clock it is, who is here, and how many tokens there are for them.
--
-- Everything is counted in microseconds of this server's own clock. Every reply is a list of strings that begins with
-- what became of the request, the time, and the run id of the server.
--
-- KEYS: 1 the fleet (hash), 2 its members (sorted set: replica → end of its lease); then four of each bucket: its pace
--       (hash), its open tokens (sorted set: token → latest moment of its return), its settled tokens (token → moment
--       of its return), its line (replica → ticket).
-- ARGV: 1 run id of the server that the request is for, 2 when it is void, 3 replica, 4 tokens of a bucket,
--       5 replicas, 6 guard, 7 length of a lease, 8 length of the silence after a new beginning; then the script's own.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')

local SECOND = 1000000
-- By so much the clock may run back unnoticed: what is held back stays so for as long.
local STEP = 10000
-- After a new beginning it is not known for so long who else there is: replicas try to reach a store every two seconds.
local UNKNOWN = 4 * SECOND
-- A replica whose lease lapsed longer ago, without a word, is taken to be gone.
local LATELY = 3600 * SECOND
-- One whose lease had lapsed for longer when a new beginning came was not with a server that may go on without us.
local RECENTLY = 60 * SECOND
-- How long a rate of nothing takes to grow to the full one.
local RECOVERY = 10 * SECOND
-- Milliseconds that unused keys stay. Longer than anything else that we keep here, so that a store that is full and
-- evicts what ends soonest forgets what is granted last.
local KEEP = 86400000

-- A number in full: Lua writes large ones with an exponent.
local function text(number)
  return string.format('%.0f', number)
end

-- A look-up is for whichever server there is, at any time; it tells no more than both.
local looks_up = ARGV[1] == ''
if not looks_up and ARGV[1] ~= run then
  return {'moved', text(now), run}
end
-- A request that waited in a queue of the network or of a stopped server must not be carried out after its sender has
-- given it up.
if not looks_up and now > tonumber(ARGV[2]) then
  return {'late', text(now), run}
end

local replica = ARGV[3]
local tokens, replicas, guard = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local lease, quiet = tonumber(ARGV[7]), tonumber(ARGV[8])

-- Another server, or a clock that ran back: whatever is written here may lack the last second, or be in another time.
-- So it is where nothing is written: somebody may have emptied this server, or sent everybody here from another that was
-- in use a moment ago. A clock that was set ahead is found out by those who know what it can show. All leases end, and
-- nothing is granted until whatever the past granted has arrived a second ago.
local fleet = redis.call('HMGET', KEYS[1], 'run', 'began', 'last', 'vouched', 'held', 'held_until',
  'vouched_recent')
local began, last, vouched = tonumber(fleet[2]), tonumber(fleet[3]), tonumber(fleet[4])
local held, held_until, vouched_recent = tonumber(fleet[5]), tonumber(fleet[6]), tonumber(fleet[7])
if fleet[1] ~= run or now < last - STEP or (looks_up and ARGV[9] == 'void') then
  -- Those who were here when it was last heard of, or a moment before, are written down with the beginning itself: they
  -- are awaited. For the others, who had been away for longer, time goes on as it did.
  local members = redis.call('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES')
  for at = 1, #members, 2 do
    local ended = tonumber(members[at + 1])
    local is_awaited = not last or ended > last - RECENTLY or ended == began
    redis.call('ZADD', KEYS[2], is_awaited and now or now - (last - ended), members[at])
  end
  began, last, vouched, vouched_recent, held, held_until = now, now, 0, 0, 0, 0
  redis.call('HSET', KEYS[1], 'run', run, 'began', began, 'vouched', 0, 'vouched_recent', 0, 'held', 0,
    'held_until', 0)
end
redis.call('HSET', KEYS[1], 'last', math.max(now, last))
redis.call('PEXPIRE', KEYS[1], KEEP)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - LATELY)
redis.call('PEXPIRE', KEYS[2], KEEP)

-- Whoever looks up is about to join, or draws on its share: it is known from now on.
if looks_up then
  redis.call('ZADD', KEYS[2], 'NX', now, replica)
  redis.call('PEXPIRE', KEYS[2], KEEP)
  return {'moved', text(now), run}
end

local lease_until = tonumber(redis.call('ZSCORE', KEYS[2], replica) or 0)

-- How many of those who were here before the new beginning have not come back, of those whom the data name, or those
-- who came have told of.
local function awaited()
  local named = redis.call('ZCOUNT', KEYS[2], text(began), text(began))
  if now >= began + LATELY then
    return named
  end
  return math.max(named, vouched_recent - redis.call('ZCOUNT', KEYS[2], '(' .. text(began), '+inf'))
end

-- All who are here or may be drawing on their shares.
local function known()
  return math.max(redis.call('ZCARD', KEYS[2]), now < began + LATELY and vouched or 0)
end

-- Those of them who would be awaited after a new beginning.
local function recent()
  return redis.call('ZCOUNT', KEYS[2], '(' .. text(math.max(began, now - RECENTLY)), '+inf') + awaited()
end

-- How many replicas may be drawing on their shares of the quota by themselves: those whose leases lapsed and who did
-- not say that they leave, but no more than the fleet lacks. After a new beginning it is whoever the fleet lacks, until
-- all who are awaited have come: the others may be with another server, which has what nobody here uses. One who joins
-- may be the successor of one that drew on its share a moment ago, and what that one sent still counts.
local function counted()
  local live = redis.call('ZCOUNT', KEYS[2], '(' .. text(now), '+inf')
  local lacking = math.max(0, replicas - live)
  if now < began + UNKNOWN or awaited() > 0 then
    return lacking
  end
  return math.min(lacking, math.max(0, known() - live))
end

local function missing()
  return math.max(counted(), now < held_until and held or 0)
end

-- The tokens of a bucket that are there for the members. While anybody is missing each replica has its share and no
-- more, what is left over included: two servers that take each other for lost then still share one quota. Where there
-- are more replicas than tokens, nobody has a share.
local function room()
  local gone = missing()
  local share = math.floor(tokens / replicas)
  if gone == 0 or share == 0 then
    return tokens
  end
  return share * (replicas - gone)
end

-- Opens the books of the bucket whose keys begin at `at`; those of an earlier beginning are void.
local function enter(at)
  if tonumber(redis.call('HGET', KEYS[at], 'began')) ~= began then
    redis.call('DEL', KEYS[at], KEYS[at + 1], KEYS[at + 2], KEYS[at + 3])
    redis.call('HSET', KEYS[at], 'began', began)
  end
end

-- The part of the full rate that the upstream's refusals leave: `low` at `paused`, when all go on again, then more.
local function rate(low, paused, at)
  return math.min(1, low + math.max(0, at - paused) / RECOVERY)
end

-- The time between two turns.
local function interval(low, paused, at)
  return math.ceil(SECOND / tokens / rate(low, paused, at))
end

-- Its replica knows when a token will be back. What was settled before, and what never was granted, is passed over.
local function settle(at, number, left)
  local token = replica .. ':' .. number
  if redis.call('ZREM', KEYS[at + 1], token) == 0 then
    return
  end
  if left > 0 then
    redis.call('ZADD', KEYS[at + 2], now + left, token)
    return
  end
  -- It was not used. Its turn is another's, or those who take and do not use would put off everybody's.
  local pace = redis.call('HMGET', KEYS[at], 'turn', 'paused', 'low')
  if pace[1] then
    local turn = tonumber(pace[1]) - interval(tonumber(pace[3]), tonumber(pace[2]), now)
    redis.call('HSET', KEYS[at], 'turn', turn)
  end
end

local function leave_bucket(at)
  redis.call('ZREMRANGEBYSCORE', KEYS[at + 1], '-inf', now)
  redis.call('ZREMRANGEBYSCORE', KEYS[at + 2], '-inf', now)
  for key = at, at + 3 do
    redis.call('PEXPIRE', KEYS[key], KEEP)
  end
end

