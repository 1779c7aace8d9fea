-- Answers with a value, '' where there is none, and how many milliseconds the store will keep it. KEYS: the value.
local value = redis.pcall('GET', KEYS[1])
if type(value) == 'string' then
  return {value, redis.call('PTTL', KEYS[1])}
end
return {'', 0}
