#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints a room, and resumes where it was whenever its WebSocket ends (python3-websockets).

usage: follow.py [ws://localhost:8080/ws]
"""

import asyncio
import json
import sys

import websockets

AGAIN_S = 0.5


async def follow(url):
    last = None
    while True:
        try:
            target = url if last is None else f"{url}?after={last}"
            async with websockets.connect(target, open_timeout=10) as socket:
                print(f"-- connected to {target}", flush=True)
                async for text in socket:
                    message = json.loads(text)
                    if "id" in message:
                        last = message["id"]
                        print(f"{last} {message['username']}: {message['content']}", flush=True)
                    else:
                        print(f"-- {text}", flush=True)
                print(f"-- closed with {socket.close_code}", flush=True)
        except (OSError, asyncio.TimeoutError, websockets.WebSocketException) as error:
            print(f"-- {error}", flush=True)
        await asyncio.sleep(AGAIN_S)


try:
    asyncio.run(follow(sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8080/ws"))
except KeyboardInterrupt:
    pass
