"""A client of the OpenAI-compatible API, and a daemon that dies while it answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from tests.crash.world import World, answer_to, world
from tests.fakes.openai_api import Reply

TOKEN = "a-token-of-this-test"
TOKENS = [{"name": "app", "token": TOKEN}]
HEAD = {"Authorization": f"Bearer {TOKEN}"}
MESSAGES = [
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "1"},
    {"role": "user", "content": "two"},
]


async def url_of(here: World) -> str:
    url: str = (await here.control("status"))["gateway"]
    return url


async def ask(
    here: World, session: aiohttp.ClientSession, begun: Callable[[], object] = lambda: None
) -> tuple[str, str]:
    """Stream an answer as far as it comes; return its turn and its text. `begun` is called once the turn is known."""
    body = {"model": "clawd", "stream": True, "messages": MESSAGES}
    turn, text = "", ""
    try:
        async with session.post(
            f"{await url_of(here)}/v1/chat/completions", json=body, headers=HEAD
        ) as reply:
            assert reply.status == 200
            async for line in reply.content:
                if line.startswith(b"data: {"):
                    chunk = json.loads(line[6:])
                    turn = f"turn:{chunk['id'].removeprefix('chatcmpl-')}"
                    begun()
                    text += "".join(c["delta"].get("content") or "" for c in chunk["choices"])
    except aiohttp.ClientError:
        pass
    return turn, text


async def answer_of(here: World, session: aiohttp.ClientSession, turn: str) -> str:
    """Return the answer of a turn that is over."""
    async with session.get(f"{await url_of(here)}/v1/messages/{turn}", headers=HEAD) as reply:
        told = await reply.json()
    assert told["status"] == "answered", told
    text: str = told["replies"][0]["text"]
    return text


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_an_answer_that_was_committed_and_not_told_is_there_after_a_kill_and_paid_once(
    state_dir: Path,
) -> None:
    slow = Reply(hang="first_token")
    gateway = {"port": 0, "tokens": TOKENS}
    async with world(state_dir, slow, gateway=gateway) as here, aiohttp.ClientSession() as session:
        await here.start(fault="journal.after_commit:turn.finished:1:kill")
        turn, text = await ask(here, session, here.model.release.set)  # the headers are out by then
        await here.wait_dead()
        await here.start()
        await here.settled()
        assert await answer_of(here, session, turn) == answer_to("two")
        assert answer_to("two").startswith(text)
        assert here.paid_for("two") == 1


@pytest.mark.timeout(300)
async def test_a_kill_between_two_pieces_of_a_stream_leaves_the_turn_to_the_next_start(
    state_dir: Path,
) -> None:
    hang = Reply(hang="stream", text="half", null_content=False)
    async with (
        world(state_dir, gateway={"port": 0, "tokens": TOKENS}) as here,
        aiohttp.ClientSession() as session,
    ):
        first = iter([hang])
        here.model.choose = lambda _: next(first, None)
        await here.start()
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(ask(here, session))
            async with asyncio.timeout(50):
                while not here.model.requests:
                    await asyncio.sleep(0.01)
            await here.kill()
        turn, _ = asked.result()
        await here.start()
        await here.settled()
        assert await answer_of(here, session, turn) == answer_to("two")
        sent = [m["content"] for m in here.model.requests[-1].body["messages"][1:]]
        assert sent == ["one", "1", "two"], "what was said before is in the journal too"
        assert here.paid_for("two") == 2, "once cut off, once answered"
