"""What requests for a summary cost when nothing comes of them: known, and never left open as perhaps paid."""

from __future__ import annotations

import asyncio
from pathlib import Path

from clawd.errors import ContextTooLong, ModelUnavailable
from clawd.models.windows import ModelSize, Windows
from clawd.response import ModelAttempt
from clawd.testing import ManualClock
from tests.fakes.inner import PATIENCE_S, Inner
from tests.integration.test_agent_offline import PATIENT, waits
from tests.integration.test_memory_summaries import TOOLS, WINDOW, Talker, long

WINDOWS = Windows({"main": ModelSize(context_tokens=WINDOW)}, {"default": ("main",)})


def failed(*, offline: bool) -> ModelUnavailable:
    """What a route raises, with the attempt that cost nothing."""
    error = ModelUnavailable("main", "no connection", transient=False, offline=offline)
    error.attempts = (ModelAttempt(model="main", outcome=error.code, duration_s=0.1),)
    return error


def too_long() -> ContextTooLong:
    """What a model says of a request that is longer than it takes."""
    error = ContextTooLong("main", "too long", why="maximum context length is 1000 tokens")
    error.attempts = (
        ModelAttempt(model="main", outcome=error.code, duration_s=0.1, detail=f"{error.what}: {error.why}"),
    )
    return error


async def settled_usage(inner: Inner, calls: int) -> None:
    """Return once so many requests are counted; none of them is one that may have been paid."""
    async with asyncio.timeout(PATIENCE_S):
        while (used := await inner.opened.spending.today()).calls < calls:
            await asyncio.sleep(0.005)
    assert (used.calls, used.possible_calls) == (calls, 0)


async def test_a_summary_in_vain_on_the_way_to_an_answer_is_settled_with_that(state_dir: Path) -> None:
    model = Talker(lambda request: failed(offline=False) if request.route == "summary" else "ok")
    async with Inner(state_dir, model=model, windows=WINDOWS, tools=TOOLS) as inner:
        for n in range(10):
            await inner.ask(long(n))
        in_vain = len(model.asked("summary"))
        assert in_vain > 1
        await settled_usage(inner, in_vain)


async def test_a_summary_in_vain_while_the_network_is_away_is_settled_as_the_turn_begins_to_wait(
    state_dir: Path,
) -> None:
    model, clock = Talker(), ManualClock()
    async with Inner(
        state_dir, model=model, windows=WINDOWS, tools=TOOLS, agent=PATIENT, clock=clock
    ) as inner:
        while not model.asked("summary"):  # the next turn makes one again, as this one's comes to nothing
            model.choose = lambda request: (
                ModelUnavailable("main", "?") if request.route == "summary" else "ok"
            )
            await inner.ask(long(len(model.requests)))
        before = await inner.opened.spending.today()
        model.choose = lambda _: failed(offline=True)
        await waits(inner, await inner.say(long(99)))
        after = await inner.opened.spending.today()
        assert after.calls - before.calls == 2, "the summary, and the request itself"
        assert after.possible_calls == before.possible_calls


async def test_a_summary_that_was_asked_for_and_has_to_wait_unasked_is_no_possible_cost(
    state_dir: Path,
) -> None:
    model, clock = Talker(), ManualClock()
    async with Inner(state_dir, model=model, agent=PATIENT, clock=clock) as inner:
        for chat in ("1", "2"):
            await inner.ask("hello", chat=chat)
        model.choose = lambda _: failed(offline=True)
        for chat in ("1", "2"):
            await waits(inner, await inner.say("/compact", chat=chat))
        assert len(model.asked("summary")) == 1
        await settled_usage(inner, 1)


async def test_requests_for_a_summary_that_were_too_long_are_settled_with_the_one_that_was_not(
    state_dir: Path,
) -> None:
    refusals = [too_long(), too_long()]
    model = Talker(lambda request: refusals.pop() if request.route == "summary" and refusals else "ok")
    async with Inner(state_dir, model=model, windows=WINDOWS, tools=TOOLS) as inner:
        for n in range(4):
            await inner.ask(long(n))
        assert (await inner.ask("/compact")).state == "answered"
        assert not refusals
        await settled_usage(inner, 2)
