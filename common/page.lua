-- page: all facts of the log and the entries next to ARGV[1], as of one moment. Read only.
-- KEYS   1 state  2 log
-- ARGV   1 id  2 count  3 bytes  4 step
--        5 none: entries after the id, oldest first; 'back': before it, newest first
-- reply  {token, opening, seq, lease, prev, from, base, stored, high, owner, ts, top, here, more,
--        entries}
--        '' for what is not there; top is the id of the newest entry, with its '-0'; here is this
--        server's replication id: the log is open when token is the same; more is 1 when count or
--        bytes ended the page, so that there may be more entries, else 0
-- A page ends with the entry that passes the bytes of their text, so it has one if there is one.
-- They are read `step` at a time: no more than that is read in vain, however long they are.
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

local count, bytes, step = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local range, last = 'XRANGE', '+'
if ARGV[5] == 'back' then range, last = 'XREVRANGE', '-' end
local entries, n, from, more = {}, 0, ARGV[1] .. '-0', 1

while more == 1 and n < count and bytes > 0 do
  local asked = math.min(step, count - n)
  local part = redis.call(range, LOG, '(' .. from, last, 'COUNT', asked)
  local taken = 0
  while taken < #part and bytes > 0 do
    taken = taken + 1
    local id, fields = unpack(part[taken])
    n, from, entries[n + 1] = n + 1, id, part[taken]
    for i = 1, #fields do bytes = bytes - #fields[i] end
  end
  if taken == #part and taken < asked then more = 0 end
end
page[14] = more
page[15] = entries
return page
