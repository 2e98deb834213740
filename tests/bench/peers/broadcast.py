# SPDX-License-Identifier: MIT
"""What comes from one client goes to all."""

import asyncio
import json
import sys

import websockets

clients = set()


async def serve(socket, _path=None):
    clients.add(socket)
    try:
        async for text in socket:
            json.loads(text)
            websockets.broadcast(clients, text)
    finally:
        clients.discard(socket)


async def main():
    async with websockets.serve(serve, "127.0.0.1", int(sys.argv[1]), compression=None,
                                backlog=4096, ping_interval=None):
        await asyncio.Future()


asyncio.run(main())
