# SPDX-License-Identifier: MIT
"""The simulator's model of Redis against a real one: the same random commands and calls of the
log's scripts on both give the same replies, publish the same and leave the same data."""
import os
import random
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get('CHAT_BUILD', 'build')
STATE, LOG = '{t}:state', '{t}:log'
FIELDS = ('token opening seq lease prev from base stored high owner ts ').split() + ['']
FAR = 4000000000000  # a time that no clock has reached: what the scripts give does not depend on it
STEPS = 400


class Error(str):
    pass


class Peer:
    """A speaker of Redis' protocol on two files."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    def send(self, *words):
        data = [b'*%d\r\n' % len(words)]
        for word in words:
            word = str(word).encode()
            data.append(b'$%d\r\n%s\r\n' % (len(word), word))
        self.writer.write(b''.join(data))
        self.writer.flush()

    def read(self):
        line = self.reader.readline()
        assert line, 'the server is gone'
        kind, rest = line[:1], line[1:-2].decode()
        if kind == b'-':
            return Error(rest)
        if kind == b'+':
            return rest
        if kind == b':':
            return int(rest)
        if kind == b'*':
            return [self.read() for _ in range(int(rest))]
        size = int(rest)
        return None if size < 0 else self.reader.read(size + 2)[:-2].decode()

    def __call__(self, *words):
        self.send(*words)
        return self.read()


class Real(Peer):
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.socket.settimeout(30)
        super().__init__(self.socket.makefile('rb'), self.socket.makefile('wb'))


@pytest.fixture
def pair(tmp_path):
    """The real server, a subscription to it, and the model."""
    server = shutil.which('redis-server')
    if not server:
        pytest.skip('needs redis-server')
    path = f'/tmp/sim-model-{os.getpid()}.sock'
    real = subprocess.Popen([server, '--port', '0', '--unixsocket', path, '--save', '', '--dir',
                             str(tmp_path)], stdout=subprocess.DEVNULL)
    model = subprocess.Popen([BUILD / 'chat-sim', '--model'], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                client = Real(path)
                if client('PING') == 'PONG':
                    break
            except OSError:
                pass
            assert time.monotonic() < deadline, 'redis-server does not start'
            time.sleep(0.05)
        feed = Real(path)
        feed('SUBSCRIBE', 'live')
        feed('SUBSCRIBE', 'control')
        yield client, feed, Peer(model.stdout, model.stdin)
    finally:
        real.kill()
        model.stdin.close()
        assert model.wait(30) == 0
        real.wait()
        if os.path.exists(path):
            os.unlink(path)


class Walk:
    """A random walk through what the log's scripts are asked, right and wrong."""

    def __init__(self, seed, real, feed, model):
        self.random = random.Random(seed)
        self.real, self.feed, self.model = real, feed, model
        self.texts = {name: (ROOT / 'common' / f'{name}.lua').read_text()
                      for name in ('publish', 'page', 'beat', 'open')}
        self.opening, self.top, self.batch, self.keys = 0, 0, {}, set()
        self.learn_replid()

    def learn_replid(self):
        info = self.real('INFO', 'replication')
        self.replid = info.split('master_replid:')[1][:40]
        self.model('MODEL', 'replid', self.replid)

    def both(self, *words):
        self.same(self.real(*words), self.model(*words), words)

    def both_ttl(self, key):
        """The model's clock stands still, the real one goes on."""
        theirs, mine = self.real('TTL', key), self.model('TTL', key)
        assert theirs == mine or 0 < theirs <= mine <= theirs + 600, (key, theirs, mine)

    def script(self, name, keys, args):
        tail = [len(keys), *keys, *args]
        mine = self.model('EVAL', name, *tail)
        theirs = self.real('EVAL', self.texts[name], *tail)
        self.same(theirs, mine, (name, keys, args))
        return mine

    def same(self, theirs, mine, what):
        if isinstance(theirs, Error) and isinstance(mine, Error):
            code, _, text = mine.partition(' ')
            assert code in theirs and text[:20] in theirs, (what, theirs, mine)
        else:
            assert theirs == mine, what

    def key(self, name):
        key = '{t}:' + name
        self.keys.add(key)
        return key

    def publish(self):
        r = self.random
        boot = r.choice('ab')
        number = max(1, self.batch.get(boot, 1) + r.choice((0, 0, 1, 1, 1, -1)))
        self.batch[boot] = max(number, self.batch.get(boot, 1))
        keys, args = [STATE, LOG, self.key('producer:' + boot)], [
            max(0, self.opening + r.choice((0, 0, 0, 0, 0, -1, 1))), number,
            r.choice((0, 0, 0, self.top, self.top + 100) if r.random() < .1 else (0, self.top)),
            'live', 86400, 3600, boot]
        for i in range(r.randint(1, 5)):
            name = r.randint(1, 12)
            keys.append(self.key(f'idem:{name}') if r.random() < .5 else STATE)
            args += [f',"username":"u","content":"{boot}{number}{i}",', ',"room":"lobby"}',
                     f'{name}-{r.random() < .1}']
        reply = self.script('publish', keys, args)
        if isinstance(reply, list):
            self.top = max([self.top] + [n for n in reply[3::3] if isinstance(n, int)])

    def page(self):
        r = self.random
        self.script('page', [STATE, LOG], [max(0, self.top - r.randint(0, 20)), r.randint(1, 9),
                                           r.choice((1, 150, 400, 9999)), r.randint(1, 4),
                                           *r.choice(((), ('back',)))])

    def beat(self):
        self.script('beat', [STATE], ['live'])

    def verb(self, verb, keys=(), args=()):
        r = self.random
        number = max(1, self.opening + (verb == 'seal') + r.choice((0,) * 12 + (-1, 1)))
        owner = 'file' if r.random() < .97 else 'other'
        reply = self.script('open', [STATE, LOG, *keys], [verb, number, owner, *args])
        if verb == 'seal' and reply == [1]:
            self.opening = number

    def put(self):
        r = self.random
        keys, args, at = [], [], self.top
        for _ in range(r.randint(1, 4)):
            at = max(1, at + r.choice((1, 1, 2, -3)))
            keyed = r.random() < .5
            keys.append(self.key(f'idem:{r.randint(1, 12)}') if keyed else STATE)
            args += [at, '{"id":%d}' % at, 'a:1:1', '%d 1 1-False' % at if keyed else '',
                     3600 if keyed else 0]
            self.top = max(self.top, at)
        self.verb('put', keys, args)

    def void(self):
        r = self.random
        self.verb('void', [r.choice((STATE, self.key(f'idem:{r.randint(1, 12)}'))),
                           r.choice((STATE, self.key('producer:a')))],
                  [max(1, self.top - r.randint(0, 8))])

    def prod(self):
        r = self.random
        args = [86400, max(1, self.batch.get('a', 1) + r.choice((0, 1, -1)))]
        for index in range(1, r.randint(2, 5)):
            args += [index, self.top + index, FAR]
        self.verb('prod', [self.key('producer:a')], args)

    def put_keys(self):
        r = self.random
        names = [r.randint(1, 12) for _ in range(r.randint(1, 4))]
        values = ['%d 1 1-False' % max(1, self.top - r.randint(0, 30)) for _ in names]
        self.verb('keys', [self.key(f'idem:{name}') for name in names], [3600, *values])

    def open(self):
        r = self.random
        seq = self.top + r.randint(0, 30)
        self.verb('open', (), [self.replid if r.random() < .95 else 'f' * 40, seq,
                               seq + r.choice((5, 40, 40)), self.top, max(0, self.top - 20), FAR,
                               'control'])
        self.top = max(self.top, seq)

    def advance(self):
        r = self.random
        self.verb('advance', (), [self.replid, self.top + r.randint(0, 40),
                                  max(0, self.top - r.randint(0, 5)),
                                  max(0, self.top - r.randint(0, 30)), 'control'])

    def opens(self):
        self.verb('seal')
        for _ in range(self.random.randint(0, 3)):
            self.random.choice((self.put, self.void, self.prod, self.put_keys))()
        self.open()

    def plain(self):
        r = self.random
        key = self.key(f'idem:{r.randint(1, 12)}')
        self.both(*r.choice((
            ('GET', key), ('DEL', key), ('SET', key, 'x', 'EX', 100), ('HDEL', STATE, 'high'),
            ('XDEL', LOG, f'{max(1, self.top)}-0'), ('XLEN', LOG), ('HSET', STATE, 'high', '7'),
            ('XADD', LOG, f'{max(0, self.top - 5)}-0', 'm', '{}'), ('GET', STATE),
            ('XADD', LOG, '0-0', 'm', '{}'), ('XADD', LOG, f'{self.top}-1', 'm', '{}'),
            ('XTRIM', LOG, 'MINID', max(0, self.top - 9)),
            ('XRANGE', LOG, f'({self.top - 3 if self.top > 3 else 0}-0', '+', 'COUNT', 2),
            ('XREVRANGE', LOG, '+', '-', 'COUNT', 3), ('XRANGE', LOG, '-', '+'))))

    def state(self):
        r = self.random.random()
        if r < .4:
            self.real('CONFIG', 'SET', 'maxmemory', 1)
            self.model('MODEL', 'memory', 'short')
        elif r < .8:
            self.real('CONFIG', 'SET', 'maxmemory', 0)
            self.model('MODEL', 'memory', 'enough')
        elif r < .9:
            self.real('REPLICAOF', '127.0.0.1', 1)
            self.model('MODEL', 'role', 'slave')
            self.learn_replid()
            for _ in range(5):
                self.random.choice((self.publish, self.page, self.beat, self.advance))()
            self.real('REPLICAOF', 'NO', 'ONE')
            self.model('MODEL', 'role', 'master')
            self.learn_replid()
        else:
            self.both('FLUSHALL')

    def look(self):
        """All data, and what was published."""
        self.both('HMGET', STATE, *FIELDS)
        self.both('XRANGE', LOG, '-', '+')
        for key in sorted(self.keys):
            self.both_ttl(key) if 'producer' in key else self.both('GET', key)
        mine = self.model('PUBLISHED')
        for i in range(0, len(mine), 2):
            assert self.feed.read() == ['message', mine[i], mine[i + 1]]

    def run(self):
        steps = ((self.publish, 30), (self.page, 8), (self.beat, 2), (self.advance, 12),
                 (self.opens, 5), (self.plain, 10), (self.put, 2), (self.void, 2), (self.prod, 2),
                 (self.put_keys, 2), (self.state, 2))
        self.opens()
        for n in range(STEPS):
            self.random.choices([s[0] for s in steps], [s[1] for s in steps])[0]()
            if n % 20 == 0:
                self.look()
        self.look()


@pytest.mark.parametrize('seed', range(1, 21))
def test_model_is_like_redis(pair, seed):
    Walk(seed, *pair).run()
