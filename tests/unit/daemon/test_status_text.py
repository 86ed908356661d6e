"""What `/status` says: the model that would answer now, by the route and by what is in service."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from clawd import __version__
from clawd.daemon.chat_status import StatusInChat
from clawd.texts import say
from tests.unit.daemon.test_minds import info

if TYPE_CHECKING:
    from clawd.models.info import ModelInfo


async def told(*infos: ModelInfo, pause: str = "") -> str:
    """Return what it says of two models on the route, while the journal can't be written for this reason."""

    async def stats() -> Any:
        return SimpleNamespace(queued=2, running=1)

    minds = SimpleNamespace(default_route=lambda: ("a", "b"), infos=lambda: infos)
    situation = SimpleNamespace(began=time.monotonic() - 3600 - 120 - 5)
    views = SimpleNamespace(stats=stats)
    status = StatusInChat(cast("Any", situation), cast("Any", views), cast("Any", minds), pause=lambda: pause)
    return await status.text("en")


@pytest.mark.parametrize(
    ("infos", "model"),
    [
        ((info("a"), info("b")), "a"),
        ((info("a", "open"), info("b")), "b"),
        ((info("a", "open"), info("b", "open")), "a (can't be asked now)"),
        ((), "–"),
    ],
)
async def test_the_status_names_the_model_that_would_answer_now(
    infos: tuple[ModelInfo, ...], model: str
) -> None:
    expected = say("status", "en", version=__version__, uptime="1 h 2 min", model=model, queued=2, running=1)
    assert await told(*infos) == expected


async def test_the_status_says_while_nothing_can_be_written() -> None:
    written, held = await told(info("a")), await told(info("a"), pause="database or disk is full")
    assert held == written + "\n" + say("status_paused", "en", why="database or disk is full")
