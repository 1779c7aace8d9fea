-- A sign of life of one replica: it joins, stays or leaves, and brings the books of its buckets up to date.
--
-- ARGV: 9 join, stay or leave (where the time is all that is asked for, also void: a new beginning), 10 the replicas
--       that it knew of, 11 those of them that were there a moment ago; then for each bucket: whether anybody waits there
--       (1 or 0), the number of settled tokens and for each its number and when it is back from now on, the number of
--       open tokens and their numbers.
-- Reply: ok, the time, the run id, the replicas that are missing, those that are known of, those of them that were there
--        a moment ago.

if ARGV[9] == 'leave' then
  if redis.call('ZREM', KEYS[2], replica) == 1 then
    vouched, vouched_recent = math.max(0, vouched - 1), math.max(0, vouched_recent - 1)
    redis.call('HSET', KEYS[1], 'vouched', vouched, 'vouched_recent', vouched_recent)
  end
elseif ARGV[9] == 'join' then
  vouched, vouched_recent = math.max(vouched, tonumber(ARGV[10])), math.max(vouched_recent, tonumber(ARGV[11]))
  redis.call('HSET', KEYS[1], 'vouched', vouched, 'vouched_recent', vouched_recent)
elseif lease_until <= now then
  return {'lapsed', text(now), run}
end

local back_by = now + lease + SECOND + guard
if ARGV[9] ~= 'leave' then
  local before = missing()
  redis.call('ZADD', KEYS[2], now + lease, replica)
  redis.call('PEXPIRE', KEYS[2], KEEP)
  if counted() < before and ARGV[9] == 'join' then
    held, held_until = before, now + SECOND + guard
    redis.call('HSET', KEYS[1], 'held', held, 'held_until', held_until)
  end
end

local at = 12
for bucket = 3, #KEYS, 4 do
  enter(bucket)
  if ARGV[at] == '0' then
    redis.call('ZREM', KEYS[bucket + 3], replica)
  end
  local settled = tonumber(ARGV[at + 1])
  at = at + 2
  for _ = 1, settled do
    settle(bucket, ARGV[at], tonumber(ARGV[at + 1]))
    at = at + 2
  end
  -- A call may leave while its replica holds a lease, and arrives within the guard.
  local open = tonumber(ARGV[at])
  for _ = 1, open do
    at = at + 1
    redis.call('ZADD', KEYS[bucket + 1], 'XX', back_by, replica .. ':' .. ARGV[at])
  end
  at = at + 1
  leave_bucket(bucket)
end

return {'ok', text(now), run, text(missing()), text(known()), text(recent())}
