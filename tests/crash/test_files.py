"""A picture that was taken, and a daemon that dies before a model has seen it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.crash.world import World, world

if TYPE_CHECKING:
    from pathlib import Path

HEAD = {"Authorization": "Bearer a-token-of-this-test"}
GATEWAY = {"port": 0, "tokens": [{"name": "app", "token": "a-token-of-this-test"}]}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(2000)


async def url_of(here: World) -> str:
    url: str = (await here.control("status"))["gateway"]
    return url


@pytest.mark.timeout(300)
async def test_a_picture_that_was_taken_is_shown_to_the_model_after_a_kill(state_dir: Path) -> None:
    async with (
        world(state_dir, gateway=GATEWAY, bridges={}) as here,
        aiohttp.ClientSession(headers=HEAD) as http,
    ):
        await here.start(fault="journal.after_commit:claim:1:kill")
        url = await url_of(here)
        async with http.post(f"{url}/v1/files?name=cat.png", data=PNG) as reply:
            assert reply.status == 201
            ref = (await reply.json())["id"]
        parts = [{"type": "text", "text": "what is this?"}, {"type": "image", "file": ref}]
        async with http.post(f"{url}/v1/messages", json={"parts": parts}) as reply:
            assert reply.status == 202
        await here.wait_dead()
        await here.start()
        await here.settled()
    (request,) = here.model.requests
    assert request.body["messages"][-1]["content"] == [
        {"type": "text", "text": "what is this?"},
        {
            "type": "image_url",
            "image_url": {"url": f"data:image/png;base64,{base64.b64encode(PNG).decode()}"},
        },
    ]
