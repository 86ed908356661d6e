"""What `POST /v1/messages` costs with nothing behind it: the HTTP library, one handler, JSON in and out.

`python -m benchmarks.bare_http` prints its URL and serves until it is killed.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web


async def _answer(request: web.Request) -> web.Response:
    conversation = json.loads(await request.read())["conversation"]
    body = {"id": "turn:abcdefgh.1.1", "conversation": conversation, "status": "queued", "position": 0}
    return web.json_response(body, status=202, headers={"Location": "/v1/messages/turn:abcdefgh.1.1"})


async def _serve() -> None:
    app = web.Application()
    app.add_routes([web.post("/v1/messages", _answer)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.setblocking(False)
    await web.SockSite(runner, listener).start()
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    await asyncio.Event().wait()


@contextmanager
def bare_http() -> Iterator[tuple[str, int]]:
    """Run it in a process of its own; yields its URL and its process id."""
    command = [sys.executable, "-m", "benchmarks.bare_http"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), process.pid
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(_serve())
