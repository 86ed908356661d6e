"""Strangers reach nothing: no model, no tool, no file, no port, whatever name they give themselves."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.crash.world import World, world
from tests.fakes.doors import TOKEN, Doors, doors
from tests.fakes.openai_api import Reply
from tests.fakes.webhook_sender import event

pytestmark = pytest.mark.asyncio(loop_scope="module")

OWNER, STRANGER, GROUP = 11, 12, -1_000_000_000_013


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def here() -> AsyncIterator[Doors]:
    """A daemon that knows one owner, in a process that hides no file by its umask."""
    before = os.umask(0)
    try:
        access = {"default": "pair", "owners": [f"telegram:{OWNER}"], "rate": "1000/s"}
        async with doors(allow=[], hook={"allow": ["friend"]}, access=access) as running:
            yield running
    finally:
        os.umask(before)


async def heard(here: Doors) -> None:
    """Return once all that was written to the bot before has been looked at."""
    here.telegram.user_says(OWNER, "the owner")
    await here.telegram.wait_until(lambda: here.telegram.sent(OWNER) and not here.telegram.pending())
    await here.world.settled()


async def test_a_stranger_gets_one_answer_and_reaches_neither_model_nor_tool(here: Doors) -> None:
    for text in ("hi", "please", "/status", "/model main", "/new", "/stop", "what is 2+2?", "/start"):
        here.telegram.user_says(STRANGER, text)
    photo = here.telegram.world.typed(STRANGER, "", sender=None, thread=None)
    here.telegram.push_update({"message": {**photo, "text": None, "sticker": None}})
    await heard(here)
    (answer,) = here.telegram.sent(STRANGER)
    assert "clawd pair approve" in answer.text
    assert not [seen for seen in here.model.requests if seen.last_user_text != "the owner"]
    assert not here.telegram.typing(STRANGER)
    turns = (await here.world.control("turns?limit=50"))["turns"]
    assert {turn["conversation"].split(":")[2] for turn in turns} == {str(OWNER)}


async def test_many_strangers_get_three_codes_and_no_more(here: Doors) -> None:
    for sender in range(100, 150):
        here.telegram.user_says(sender, "hi")
    await heard(here)
    codes = [chat for chat in (STRANGER, *range(100, 150)) if here.telegram.sent(chat)]
    assert len(codes) == 3


async def test_a_group_hears_nothing_unless_somebody_known_calls(here: Doors) -> None:
    here.telegram.user_says(GROUP, "hello all", sender=OWNER)
    here.telegram.user_says(GROUP, "@clawd_test_bot hi", sender=STRANGER)
    here.telegram.user_says(GROUP, "/status@clawd_test_bot", sender=STRANGER)
    here.telegram.user_says(GROUP, "/status@other_bot", sender=OWNER)
    await heard(here)
    assert here.telegram.sent(GROUP) == []
    here.telegram.user_says(GROUP, "@clawd_test_bot hi", sender=OWNER)
    await here.telegram.wait_for_messages(GROUP, 1)


async def test_a_name_that_a_client_gives_itself_opens_no_more_doors(here: Doors) -> None:
    before, said = len(here.model.requests), len(here.telegram.sent(OWNER))
    for sender in (
        f"telegram:{OWNER}",
        str(OWNER),
        "terminal",
        "api:ops",
        "friend ",
        "FRIEND",
        "friend\u200b",
    ):
        told = await here.hook(event("hi", user={"id": sender}))
        assert (sender, told.status, len(here.model.requests)) == (sender, 403, before), told
    friend = await here.hook(event("hi", user={"id": "friend"}, conversation=f"telegram:1:{OWNER}"))
    ours = await here.rest({"text": "hi", "sender": "terminal", "conversation": f"telegram:1:{OWNER}"})
    assert (friend.status, ours.status) == (202, 202)
    turns = await here.ended(2)
    at = f"telegram%3A1%3A{OWNER}"
    assert [turn["conversation"] for turn in turns] == [f"api:ops:{at}", f"hook:webhook:{at}"]
    assert len(here.telegram.sent(OWNER)) == said


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:7373"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "localhost@evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
    ],
    ids=str,
)
async def test_a_web_page_gets_in_nowhere(here: Doors, headers: dict[str, str]) -> None:
    for path in ("/v1/messages", "/bridges/hook"):
        answer = await here.request(
            "POST",
            path,
            data=b"{}",
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", **headers},
        )
        assert (path, answer.status) == (path, 403)
        assert not {"Access-Control-Allow-Origin", "access-control-allow-origin"} & set(answer.headers)


async def test_a_page_cannot_send_a_form_instead_of_json(here: Doors) -> None:
    head = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "text/plain"}
    answer = await here.request("POST", "/v1/messages", data=b'{"text": "hi"}', headers=head)
    assert answer.status == 415


async def test_files_and_socket_are_the_owners_alone_even_where_the_umask_hides_nothing(here: Doors) -> None:
    await here.clawd("chat", "hi")
    state = here.world.state_dir / "state"
    open_to_others = {
        str(path.relative_to(state)): oct(path.lstat().st_mode)
        for path in (state, *state.rglob("*"))
        if path.lstat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    }
    assert open_to_others == {}
    assert {"clawd.db", "clawd.sock", "clawd.log", "lock"} <= {path.name for path in state.iterdir()}


async def test_another_user_of_this_host_is_turned_away_at_the_socket(here: Doors) -> None:
    socket = here.world.state_dir / "state" / "clawd.sock"
    code = (
        "import os, socket, sys\nos.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        f"s = socket.socket(socket.AF_UNIX)\ntry:\n  s.connect({str(socket)!r})\n"
        "except PermissionError:\n  sys.exit(7)\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await process.wait() == 7


@pytest.mark.timeout(300)
async def test_a_flood_from_one_chat_leaves_a_quiet_one_its_answers(state_dir: Path) -> None:
    async with world(state_dir, Reply()) as here:
        here.configure()
        await here.start()
        await _answered_before(here, "connected?")
        before = (await here.control("status"))["rss_bytes"]
        for n in range(2000):
            here.telegram.user_says(5, f"flood {n}")
        between = sorted([await _answered_before(here, f"busy {n}") for n in range(9)])[4]
        open_turns = (await here.control("status"))["queue"]["queued"]
        after = (await here.control("status"))["rss_bytes"]
    assert open_turns > 500  # the flood was still there when the quiet chat had its answers
    assert between <= 20, "of the flood went first"
    assert after - before < 30_000_000


async def _answered_before(here: World, text: str) -> int:
    """Return how many answers the loud chat was given from a quiet user's message to its answer."""
    before, count = len(here.telegram.sent(5)), len(here.telegram.sent(9))
    here.telegram.user_says(9, text)
    await here.telegram.wait_until(lambda: len(here.telegram.sent(9)) > count)
    return len(here.telegram.sent(5)) - before
