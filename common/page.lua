-- page: all facts of the log and the entries next to ARGV[1], as of one moment. Read only.
-- KEYS   1 state  2 log
-- ARGV   1 id  2 count  3 none: entries after the id, oldest first; 'back': before it, newest first
-- reply  {token, opening, seq, lease, prev, from, base, stored, high, owner, ts, top, here, entries}
--        '' for what is not there; top is the id of the newest entry, with its '-0'; here is this
--        server's replication id: the log is open when token is the same
-- A replica answers READONLY: what it tells may be old.
local STATE, LOG = KEYS[1], KEYS[2]
local info = redis.call('INFO', 'replication')
if not string.find(info, 'role:master', 1, true) then
  return redis.error_reply('READONLY this is a replica')
end
local page = redis.call('HMGET', STATE, 'token', 'opening', 'seq', 'lease', 'prev', 'from', 'base',
  'stored', 'high', 'owner', 'ts')
for i = 1, 11 do page[i] = page[i] or '' end
local top = redis.call('XREVRANGE', LOG, '+', '-', 'COUNT', 1)
page[12] = top[1] and top[1][1] or ''
page[13] = string.match(info, 'master_replid:(%x+)')
local from, count = '(' .. ARGV[1] .. '-0', ARGV[2]
page[14] = ARGV[3] == 'back' and redis.call('XREVRANGE', LOG, from, '-', 'COUNT', count)
  or redis.call('XRANGE', LOG, from, '+', 'COUNT', count)
return page
