"""Models that do anything at any time: whatever happens, one answer or one error, and nothing is left open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Iterator, Sequence
from contextlib import contextmanager

from hypothesis import given, settings
from hypothesis import strategies as st

from clawd.config.schema import PriceConfig
from clawd.errors import ContextTooLong, ModelAuthError, ModelError, ModelRateLimited, ModelUnavailable
from clawd.models.base import (
    Completed,
    ModelAttempt,
    ModelEvent,
    ModelRequest,
    ModelResponse,
    Progress,
    RequestTags,
    Switched,
    TextDelta,
    collect,
)
from clawd.models.ledger import Room
from clawd.testing import ManualClock, ScriptedModel
from tests.fakes.routing import member_of, router_over
from tests.unit.models.conftest import ask

Happening = tuple[float, str]
"""After so many seconds, this."""

WHAT = ["text", "thinking", "keepalive", "down", "gone", "auth", "busy", "long", "empty", "end", "done"]
SCRIPT = st.lists(
    st.tuples(st.sampled_from([0.0, 0.0, 1.0, 7.9, 8.0, 30.0]), st.sampled_from(WHAT)), min_size=1, max_size=4
)


class Chaotic(ScriptedModel):
    """Does what its script for this request says; those are repeated for ever."""

    def __init__(self, name: str, clock: ManualClock, scripts: Sequence[Sequence[Happening]]) -> None:
        super().__init__(name=name)
        self.running = 0
        self._clock = clock
        self._scripts = scripts

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        script = self._scripts[len(self.requests) % len(self._scripts)]
        self.requests.append(request)
        self.running += 1
        try:
            text = ""
            for after_s, what in script:
                await self._clock.sleep(after_s)
                match what:
                    case "text":
                        text += f"{self.name} "
                        yield TextDelta(f"{self.name} ")
                    case "thinking" | "keepalive":
                        yield Progress(what)
                    case "end":
                        return
                    case "done" | "empty":
                        if what == "done":
                            yield TextDelta("done")
                        text = f"{text}done" if what == "done" else ""
                        yield Completed(ModelResponse(model=self.name, text=text))
                        return
                    case _:
                        raise self._error(what)
            await asyncio.Event().wait()  # it hangs
        finally:
            self.running -= 1

    def _error(self, what: str) -> ModelError:
        match what:
            case "auth":
                return ModelAuthError(self.name, "refused")
            case "busy":
                return ModelRateLimited(self.name, retry_after_s=3)
            case "long":
                return ContextTooLong(self.name, "too long")
            case _:
                return ModelUnavailable(self.name, "down", transient=what == "down")


class Purse:
    """Counts what is held and settled."""

    def __init__(self) -> None:
        self.open = 0
        self.settled: list[ModelAttempt] = []

    def room(self, model: str, tags: RequestTags, usd: float = 0.0) -> Room:
        return Room()

    @contextmanager
    def hold(self, model: str, tags: RequestTags, usd: float) -> Iterator[None]:
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1

    def settle(self, tags: RequestTags, attempts: Sequence[ModelAttempt]) -> None:
        self.settled += attempts


@settings(max_examples=60, deadline=None)
@given(
    scripts=st.lists(st.lists(SCRIPT, min_size=1, max_size=2), min_size=1, max_size=4),
    leave_after_s=st.none() | st.sampled_from([0.5, 8.0, 9.0, 20.0]),
)
def test_whatever_models_do_there_is_one_end_and_nothing_is_left(
    scripts: list[list[list[Happening]]], leave_after_s: float | None
) -> None:
    asyncio.run(_request(scripts, leave_after_s))


async def _request(scripts: list[list[list[Happening]]], leave_after_s: float | None) -> None:
    clock, purse, shown = ManualClock(), Purse(), ""
    models = [Chaotic(f"m{n}", clock, each) for n, each in enumerate(scripts)]
    price = PriceConfig(input=1, output=1)
    router = router_over(*(member_of(m, clock, price=price) for m in models), clock=clock, ledger=purse)

    def hear(event: ModelEvent) -> None:
        nonlocal shown
        if isinstance(event, Switched):
            shown = ""
        elif isinstance(event, TextDelta):
            shown += event.text

    before = asyncio.all_tasks()
    end: ModelResponse | ModelError | None = None
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(_caught(collect(router, ask(), hear)))
        if leave_after_s is None:
            for _ in range(40):
                await clock.advance(5)
        else:
            await clock.advance(leave_after_s)
        asking.cancel()
        await asyncio.wait({asking})
        end = None if asking.cancelled() else asking.result()
    requests = sum(len(model.requests) for model in models)
    assert [model.running for model in models] == [0] * len(models), "a stream was left open"
    assert (asyncio.all_tasks(), clock.sleepers) == (before, 0)
    assert purse.open == 0
    # A key that rests turns requests away before its model hears of them.
    assert len(purse.settled) >= requests
    if end is not None:
        assert sorted(map(repr, end.attempts)) == sorted(map(repr, purse.settled))
    if isinstance(end, ModelResponse):
        assert shown == end.text
        assert [a.model for a in end.attempts if a.outcome == "ok"] == [end.model]


async def _caught(asking: Awaitable[ModelResponse]) -> ModelResponse | ModelError:
    try:
        return await asking
    except ModelError as error:
        return error
