# SPDX-License-Identifier: MIT
"""A TCP proxy that can be told to misbehave. It runs in a thread of its own, over asyncio.

    cut()             ends all connections at once (a reset to both sides)
    half_close()      the client gets the end of the stream; what it sends still goes through
    set_delay(s)      each piece waits so long, in both directions
    stall(True)       nothing goes through any more, and nobody is told: no FIN
    cut_in_reply()    the next reply of each connection is cut in its middle, with a reset
    refuse(True)      new connections are ended at once

`only` limits any of these to the clients for whom only(address, port) is true. Each returns, or
counts in `hits`, what it really met.
"""

import asyncio
import threading


class Pipe:
    """One proxied connection."""

    def __init__(self, client, server, peer):
        self.client, self.server, self.peer = client, server, peer  # (reader, writer) each
        self.cut_next = False

    def abort(self):
        for _, writer in (self.client, self.server):
            writer.transport.abort()


class Proxy:
    def __init__(self, port, target):
        self.port, self.target = port, target
        self.pipes = set()
        self.hits = 0
        self.delay = 0.0
        self.only = None  # of what stalls or is refused
        self.refusing = False
        self.loop = asyncio.new_event_loop()
        self.flowing = asyncio.Event()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self._call(self._listen())

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    async def _listen(self):
        self.flowing.set()
        self.server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port)

    def _meant(self, peer):
        return self.only is None or self.only(*peer[:2])

    async def _accepted(self, reader, writer):
        peer = writer.get_extra_info("peername")
        if self.refusing and self._meant(peer):
            self.hits += 1
            writer.transport.abort()
            return
        try:
            server = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        pipe = Pipe((reader, writer), server, peer)
        self.pipes.add(pipe)
        up = asyncio.ensure_future(self._pump(pipe, reader, server[1], False))
        down = asyncio.ensure_future(self._pump(pipe, server[0], writer, True))
        await asyncio.gather(up, down)
        self.pipes.discard(pipe)
        for end in (writer, server[1]):
            end.close()

    async def _pump(self, pipe, source, sink, replies):
        try:
            while data := await source.read(65536):
                if self.delay:
                    await asyncio.sleep(self.delay)
                if not self.flowing.is_set() and self._meant(pipe.peer):
                    self.hits += 1
                    await self.flowing.wait()
                if replies and pipe.cut_next and len(data) > 1:
                    sink.write(data[:len(data) // 2])
                    await sink.drain()
                    self.hits += 1
                    await asyncio.sleep(0.02)  # so that the half arrives before the reset
                    pipe.abort()
                    return
                sink.write(data)
                await sink.drain()
            if sink.can_write_eof():
                sink.write_eof()
        except (OSError, RuntimeError):  # RuntimeError: it was half-closed
            pipe.abort()

    def _chosen(self, only):
        return [pipe for pipe in self.pipes if only is None or only(*pipe.peer[:2])]

    def cut(self, only=None):
        async def run():
            chosen = self._chosen(only)
            for pipe in chosen:
                pipe.abort()
            return len(chosen)
        return self._call(run())

    def half_close(self, only=None):
        async def run():
            chosen = self._chosen(only)
            for pipe in chosen:
                pipe.client[1].write_eof()
            return len(chosen)
        return self._call(run())

    def set_delay(self, seconds):
        self.delay = seconds

    def stall(self, on, only=None):
        async def run():
            self.only = only
            self.flowing.clear() if on else self.flowing.set()
        self._call(run())

    def cut_in_reply(self):
        async def run():
            for pipe in self.pipes:
                pipe.cut_next = True
            return len(self.pipes)
        return self._call(run())

    def refuse(self, on, only=None):
        self.only = only
        self.refusing = on

    def close(self):
        async def run():
            self.server.close()
            for pipe in list(self.pipes):
                pipe.abort()
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
        self._call(run())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
