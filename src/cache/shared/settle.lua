-- Puts a value where there is one to put, gives the lock back, and tells those who wait.
-- KEYS: the value, the lock. ARGV: the owner, the value or '', milliseconds to keep it, the channel, what to say there.
-- An owner whose lock has passed to another may be late with an old value: it fills a gap and replaces nothing.
local is_ours = redis.pcall('GET', KEYS[2]) == ARGV[1]
if ARGV[2] ~= '' and (is_ours or redis.call('EXISTS', KEYS[1]) == 0) then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
if is_ours then
  redis.call('DEL', KEYS[2])
end
redis.call('PUBLISH', ARGV[4], ARGV[5])
return 1
