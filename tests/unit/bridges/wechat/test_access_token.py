"""The access token: one for all, renewed once."""

from __future__ import annotations

import asyncio

import pytest

from bridges.wechat.access_token import AccessToken
from clawd.testing import ManualClock


class Source:
    """Gives out `T1`, `T2` …; `steady` gives the same one again unless it is forced."""

    def __init__(self, life_s: float = 7200, *, steady: bool = False) -> None:
        self.life_s = life_s
        self.steady = steady
        self.asked: list[bool] = []
        self.error: Exception | None = None
        self._made = 0

    async def __call__(self, *, force: bool) -> tuple[str, float]:
        self.asked.append(force)
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        if force or not self.steady or not self._made:
            self._made += 1
        return f"T{self._made}", self.life_s


async def together(count: int, token: AccessToken, bad: str | None = None) -> set[str]:
    async with asyncio.TaskGroup() as tasks:
        wanted = [tasks.create_task(token.get() if bad is None else token.renewed(bad)) for _ in range(count)]
    return {task.result() for task in wanted}


async def test_fifty_who_need_one_at_once_ask_once() -> None:
    source = Source()
    assert await together(50, AccessToken(source, ManualClock())) == {"T1"}
    assert source.asked == [False]


async def test_fifty_who_find_it_refused_renew_it_once() -> None:
    source = Source()
    token = AccessToken(source, ManualClock())
    assert await token.get() == "T1"
    assert await together(50, token, "T1") == {"T2"}
    assert source.asked == [False, False]


async def test_another_one_is_forced_only_where_the_platform_gives_the_bad_one_again() -> None:
    source = Source(steady=True)
    token = AccessToken(source, ManualClock())
    await token.get()
    assert await token.renewed("T1") == "T2"
    assert source.asked == [False, False, True]


async def test_it_is_renewed_five_minutes_early() -> None:
    source, clock = Source(), ManualClock()
    token = AccessToken(source, clock)
    await token.get()
    await clock.advance(6899)
    assert await token.get() == "T1"
    await clock.advance(1)
    assert await token.get() == "T2"


async def test_a_life_of_nothing_asks_nobody_in_a_loop() -> None:
    source, clock = Source(life_s=0), ManualClock()
    token = AccessToken(source, clock)
    for _ in range(10):
        assert await token.get() == "T1"
    await clock.advance(60)
    assert await token.get() == "T2"


async def test_a_failure_is_told_to_who_asked_and_the_next_one_asks_anew() -> None:
    source = Source()
    token = AccessToken(source, ManualClock())
    source.error = OSError("no route")
    with pytest.raises(OSError, match="no route"):
        await token.get()
    source.error = None
    assert await token.get() == "T1"
