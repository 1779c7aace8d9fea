-- Prolongs a lock for its owner. KEYS: the lock. ARGV: the owner, the lease in milliseconds. 1, or 0 where it is not theirs.
if redis.pcall('GET', KEYS[1]) == ARGV[1] then
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0
