-- Takes tokens of one bucket: those that are free, and, where none is, the next that will be, to be used from then on.
--
-- ARGV: 9 the number of the first token, 10 how many are wanted, 11 how long ago the latest token was granted whose
--       call the upstream refused as one too many (-1 where none was); then for each settled token its number and
--       when it is back from now on.
-- Reply: ok, the time, the run id, the replicas that are missing, when to ask again where nothing is granted; then for
--        each token that is granted, in the order of their numbers, when it may be used.

-- Where somebody waits, nobody takes more than the next token and those that are due so soon.
local AHEAD = 50000
-- So long after the last sign of it the bucket counts as one that somebody waits for.
local HOLD = 200000
-- The longest time between two requests of a replica that stands in the line, and the shortest.
local LONGEST, SHORTEST = 100000, 5000

if lease_until <= now then
  return {'lapsed', text(now), run}
end
enter(3)
for at = 12, #ARGV, 2 do
  settle(3, ARGV[at], tonumber(ARGV[at + 1]))
end
leave_bucket(3)

local pace = redis.call('HMGET', KEYS[3], 'turn', 'contended', 'ticket', 'refused', 'paused', 'low')
local turn, contended, ticket = tonumber(pace[1]) or 0, tonumber(pace[2]) or 0, tonumber(pace[3]) or 0
local refused, paused, low = tonumber(pace[4]) or 0, tonumber(pace[5]) or 0, tonumber(pace[6]) or 1

-- Somebody else draws on the account: all pause, then go on at half the rate. Calls that were under way when the pause
-- began teach nothing new.
local refusal = tonumber(ARGV[11])
if refusal >= 0 and now - refusal > refused then
  low = math.max(1 / tokens, rate(low, paused, now) / 2)
  refused, paused = now, now + SECOND
end

local want = tonumber(ARGV[10])
local again = 0
local gone = missing()
local granted = {}

if want == 0 then
  redis.call('ZREM', KEYS[6], replica)
elseif now < began + quiet then
  again = began + quiet
else
  -- The line is kept among those who are there. A ticket holds until its owner is granted something.
  for _, other in ipairs(redis.call('ZRANGE', KEYS[6], 0, -1)) do
    if tonumber(redis.call('ZSCORE', KEYS[2], other) or 0) <= now then
      redis.call('ZREM', KEYS[6], other)
    end
  end
  if not redis.call('ZSCORE', KEYS[6], replica) then
    ticket = ticket + 1
    redis.call('ZADD', KEYS[6], ticket, replica)
  end
  local ahead = redis.call('ZRANK', KEYS[6], replica)
  local line = redis.call('ZCARD', KEYS[6])

  -- A token that is open comes back nobody knows when. Any other can be granted, those that are still away for later.
  local capacity = room()
  local open = redis.call('ZCARD', KEYS[4])
  local away = redis.call('ZRANGE', KEYS[5], 0, -1, 'WITHSCORES')
  local outstanding = open + #away / 2
  local grantable = capacity - open
  local fair = math.max(1, math.floor(grantable / line))
  local spaced = now < contended or line > 1 or rate(low, paused, now) < 1 or now < paused

  if ahead < grantable then
    for count = 1, want do
      -- So many must have come back before this one is free.
      local returns = outstanding + count - capacity
      local due = now
      if returns > 0 then
        spaced = true
        due = tonumber(away[2 * returns])
      end
      if not due then
        break
      end
      local apart = interval(low, paused, now)
      if spaced then
        -- One turn that was missed may be made up for; more would clump.
        if returns <= 0 then
          due = now - apart
        end
        due = math.max(due, turn, paused)
      end
      local used_from = math.max(now, due)
      if count > 1 and spaced and (count > fair or used_from > now + AHEAD) then
        break
      end
      turn = math.max(due, used_from - apart) + apart
      redis.call('ZADD', KEYS[4], lease_until + SECOND + guard, replica .. ':' .. text(ARGV[9] + count - 1))
      granted[count] = text(used_from)
    end
  end

  if #granted > 0 then
    redis.call('ZREM', KEYS[6], replica)
  else
    local wait = (ahead - math.max(0, grantable) + 1) * math.ceil(SECOND / tokens)
    again = now + math.max(SHORTEST, math.min(LONGEST, wait))
  end
  if #granted < want then
    contended = math.max(now, tonumber(granted[#granted] or 0)) + HOLD
  end
end

redis.call('HSET', KEYS[3], 'turn', turn, 'contended', contended, 'ticket', ticket, 'refused', refused, 'paused', paused,
  'low', low)
leave_bucket(3)

local reply = {'ok', text(now), run, text(gone), text(again)}
for _, used_from in ipairs(granted) do
  reply[#reply + 1] = used_from
end
return reply
