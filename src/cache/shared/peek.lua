-- Answers with a value, '' where there is none, and how many milliseconds the store will keep it. KEYS: the value.
-- ARGV: the most bytes that one of us puts there; of a longer one a part is sent, which does not open.
local value = redis.pcall('GETRANGE', KEYS[1], 0, ARGV[1])
if type(value) == 'string' then
  return {value, redis.call('PTTL', KEYS[1])}
end
return {'', 0}
