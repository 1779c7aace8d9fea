-- Answers with the value of a key, or takes its lock where there is none that the caller does not know.
-- KEYS: the value, the lock. ARGV: the stamp that is known ('' none, '*' any), the owner of a new lock, its lease in
-- milliseconds, the longest lease that one of us takes, the most bytes that one of us puts there.
-- {1, value, milliseconds that the store will keep it}; {2, '', 0} locked for the owner; {3, '', 0} locked by another.
-- Whoever writes here beside us may have written anything: a value of another type is no value, and a lock that nobody
-- of us would leave is nobody's. Of a value that is too long to be ours a part is sent, which does not open.
local value = redis.pcall('GETRANGE', KEYS[1], 0, ARGV[5])
if value == '' and redis.call('EXISTS', KEYS[1]) == 0 then
  value = nil
end
if type(value) == 'string' and ARGV[1] ~= '*' and (ARGV[1] == '' or string.sub(value, 6, 13) ~= ARGV[1]) then
  return {1, value, redis.call('PTTL', KEYS[1])}
end
if redis.call('SET', KEYS[2], ARGV[2], 'NX', 'PX', ARGV[3]) then
  return {2, '', 0}
end
local left = redis.call('PTTL', KEYS[2])
if left >= 0 and left <= tonumber(ARGV[4]) then
  return {3, '', 0}
end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return {2, '', 0}
