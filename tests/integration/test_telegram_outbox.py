"""A daemon process in front of a Telegram that limits, refuses and cuts: order per chat, nothing lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.crash.world import World, answer_to, world
from tests.fakes.openai_api import Reply, Seen

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)

LIMIT_S = 5


async def until(here: World, condition: Any) -> None:
    try:
        await here.telegram.wait_until(condition, 30)
    except TimeoutError:
        raise AssertionError(here.tail()) from None


def without_previews(here: World) -> None:
    """Let nothing be sent but replies."""
    section = {"token": here.telegram.token, "api_base": here.telegram.url, "allow": ["*"], "stream": False}
    here.configure(bridges={"telegram": section})


def said(seen: Seen) -> str:
    """Return everything that people say in a request."""
    return "\n".join(m["content"] for m in seen.body["messages"] if m["role"] == "user")


async def test_a_chat_under_a_limit_delays_no_other_and_goes_on_in_order(state_dir: Path) -> None:
    async with world(state_dir) as here:
        without_previews(here)
        here.telegram.user_says(11, "hello")
        here.telegram.fault("sendMessage", "429", chat=11, retry_after=LIMIT_S)
        here.say(11, "a-0")
        await here.start()
        (limited,) = await here.telegram.wait_for_calls("sendMessage", 1, 30)
        assert limited.outcome == "429"
        for text in ("a-1", "a-2"):
            here.say(11, text)
        for text in ("b-0", "b-1"):
            here.say(12, text)
        await until(here, lambda: len(here.answers(12)) == 2)
        assert limited.ended_at is not None
        free_at = limited.ended_at + LIMIT_S
        assert here.telegram.sent(12)[-1].at < free_at, "the other chat waited for the limited one"
        assert not here.answers(11)
        await here.all_answered()
        await here.settled()
        tries = here.telegram.calls("sendMessage", 11)
        assert [call.outcome for call in tries] == ["429"] + ["ok"] * 4
        assert tries[1].at >= free_at, "it asked us to wait"
        assert here.answers(11) == [answer_to(text) for text in ("hello", "a-0", "a-1", "a-2")]
        assert here.answers(12) == [answer_to(text) for text in ("b-0", "b-1")]


@pytest.mark.slow
async def test_a_token_refused_in_a_send_keeps_the_reply_until_the_bridge_is_connected_again(
    state_dir: Path,
) -> None:
    async with world(state_dir, reply=Reply(hang="headers")) as here:
        without_previews(here)
        here.say(11, "hello")
        here.say(12, "hello")
        await here.start()
        await here.model.arrived(2)
        here.telegram.revoke()
        here.model.default = Reply()
        here.model.release.set()
        (refused, *_) = await here.telegram.wait_for_calls("sendMessage", 1, 30)
        assert refused.outcome == "401 Unauthorized"
        await until(here, lambda: [c for c in here.telegram.calls("getMe") if c.outcome.startswith("401")])
        tried = len(here.telegram.calls("sendMessage"))
        assert tried <= 2, "one try of each chat"
        await here.bridge_is("bad_credentials")
        here.telegram.revoke(False)
        await here.all_answered()
        await here.settled()
        verdict = here.judge()
        assert not verdict.broken
        assert not verdict.marked, "surely not sent, so not marked"
        assert len(here.telegram.calls("sendMessage")) == tried + 2


async def test_an_album_and_a_cut_text_are_one_turn_each(state_dir: Path) -> None:
    paragraphs = ["first " * 400, "second " * 400, "last words"]
    async with world(state_dir) as here:
        await here.start()
        here.telegram.user_sends_album(11, 5, caption="which is best?")
        for piece in paragraphs:
            here.telegram.user_says(12, piece)
        await until(here, lambda: here.answers(11) and here.answers(12))
        await here.settled()
        assert [len(here.answers(chat)) for chat in (11, 12)] == [1, 1]
        assert len(here.model.requests) == 2
        album, pasted = sorted(map(said, here.model.requests), key=len)
        assert "which is best?" in album
        assert album.count("[image: ") == 5
        assert [pasted.index(piece.strip()) for piece in paragraphs] == sorted(
            pasted.index(piece.strip()) for piece in paragraphs
        )
