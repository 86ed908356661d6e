"""The bundled model's real tokenizer, where the local engine is installed.

In a test: `async with real_tokenizer() as count: await count("some text")`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp

from clawd.models.local_config import LocalConfig, bundled_model, missing_parts
from clawd.models.local_server import start_server

Count = Callable[[str], Awaitable[int]]
MISSING = missing_parts(None)


@asynccontextmanager
async def real_tokenizer() -> AsyncIterator[Count]:
    path = await asyncio.to_thread(bundled_model)
    assert path is not None
    server = await start_server(LocalConfig(name="tokens", context=256, threads=1), path, os.environ)
    url = f"http://127.0.0.1:{server.port}/tokenize"
    headers = {"Authorization": f"Bearer {server.api_key}"}
    try:
        async with aiohttp.ClientSession(headers=headers) as session:

            async def count(text: str) -> int:
                async with session.post(url, json={"content": text}) as response:
                    return len((await response.json())["tokens"])

            yield count
    finally:
        await server.kill()
