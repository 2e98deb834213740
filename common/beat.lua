-- beat: a heartbeat through Redis, from a process' command connection to its subscription. Coming
-- behind the messages that it counts, it also tells whether the last of them was missed.
-- KEYS   1 state
-- ARGV   1 channel of this process
-- reply  1; published: 'opening seq stored base', or '0 0 0 0' when the log is not open here
-- A replica answers READONLY: PUBLISH alone would not tell that the server was demoted.
local info = redis.call('INFO', 'replication')
if not string.find(info, 'role:master', 1, true) then
  return redis.error_reply('READONLY this is a replica')
end
local st = redis.call('HMGET', KEYS[1], 'token', 'opening', 'seq', 'stored', 'base')
local facts = '0 0 0 0'
if st[1] and st[1] == string.match(info, 'master_replid:(%x+)') then
  facts = string.format('%s %s %s %s', st[2] or 0, st[3] or 0, st[4] or 0, st[5] or 0)
end
redis.call('PUBLISH', ARGV[1], facts)
return 1
