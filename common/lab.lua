-- lab: what each program tells of itself, a few times a second, and faults on their way; only with LAB=1.
-- KEYS   1 the board, a hash of what each one told last  2 state  3 log
-- ARGV   1 'tell'  2 name  3 its state as JSON  4 how long who is silent stays, ms
-- reply  {opening, seq, lease, stored, base, entries of the stream, name, age in ms, state, …}
-- ARGV   1 'fault'  2 channel  3 what
-- reply  how many programs heard it
if ARGV[1] == 'fault' then return redis.call('PUBLISH', ARGV[2], ARGV[3]) end
local time, forget_ms = redis.call('TIME'), tonumber(ARGV[4])
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[2], string.format('%.0f ', now) .. ARGV[3])
redis.call('PEXPIRE', KEYS[1], forget_ms)
local reply = redis.call('HMGET', KEYS[2], 'opening', 'seq', 'lease', 'stored', 'base')
for i = 1, 5 do reply[i] = reply[i] or '0' end
reply[6] = redis.call('XLEN', KEYS[3])
local board = redis.call('HGETALL', KEYS[1])
for i = 1, #board, 2 do
  local told, state = string.match(board[i + 1], '^(%d+) (.*)$')
  local age = now - (tonumber(told) or 0)
  if age > forget_ms then
    redis.call('HDEL', KEYS[1], board[i])
  else
    reply[#reply + 1] = board[i]
    reply[#reply + 1] = math.max(age, 0)
    reply[#reply + 1] = state
  end
end
return reply
